SUMMARY = "The first program of the kernel: finds root slot and data partition"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://${TUNERD_TOP}/LICENSE;md5=59b9b16f5ccee349d4cb2b956bb58169"

INHIBIT_DEFAULT_DEPS = "1"
FILESEXTRAPATHS:prepend := "${TUNERD_TOP}/board/image:"
SRC_URI = "file://initrd"
S = "${UNPACKDIR}"
do_compile[noexec] = "1"

do_install() {
    install -D -m 0755 ${S}/initrd ${D}/init
}
FILES:${PN} = "/init"
RDEPENDS:${PN} = "busybox kmod"

# What a kernel has built in has no package, so these are wishes.
def tunerd_modules(d):
    path = d.getVar('TUNERD_TOP') + '/board/image/modules-at-start'
    bb.parse.mark_dependency(d, path)
    try:
        with open(path) as lines:
            names = ' '.join(line.split('#')[0] for line in lines).split()
    except FileNotFoundError:
        names = []
    return ' '.join('kernel-module-' + name.replace('_', '-') for name in names)
RRECOMMENDS:${PN} = "${@tunerd_modules(d)}"
