SUMMARY = "What RAUC is told about the box: its slots, and who may sign"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://${TUNERD_TOP}/LICENSE;md5=59b9b16f5ccee349d4cb2b956bb58169"

RPROVIDES:${PN} = "virtual-rauc-conf"
PACKAGE_ARCH = "${MACHINE_ARCH}"
INHIBIT_DEFAULT_DEPS = "1"
TUNERD_BOARD ?= "${MACHINE}"
TUNERD_DISK ?= "74756e64"
TUNERD_KEYS ?= ""

FILESEXTRAPATHS:prepend := "${TUNERD_TOP}/board/image:"
SRC_URI = " \
    file://system.conf \
    ${@'file://${TUNERD_KEYS}/root.pem file://${TUNERD_KEYS}/channel.pub' if d.getVar('TUNERD_KEYS') else ''} \
"
S = "${UNPACKDIR}"
do_compile[noexec] = "1"

do_install() {
    if [ -z "${TUNERD_KEYS}" ]; then
        bbfatal "TUNERD_KEYS names no directory: make one with tools/keys development"
    fi
    install -d ${D}${sysconfdir}/rauc ${D}${sysconfdir}/tunerd
    sed -e 's|@compatible@|tunerd-${TUNERD_BOARD}|g' -e 's|@version@|${DISTRO_VERSION}|g' \
        -e 's|@disk@|${TUNERD_DISK}|g' ${S}/system.conf >${D}${sysconfdir}/rauc/system.conf
    install -m 0644 ${S}${TUNERD_KEYS}/root.pem ${D}${sysconfdir}/rauc/keyring.pem
    install -m 0644 ${S}${TUNERD_KEYS}/channel.pub ${D}${sysconfdir}/tunerd/channel.pub
    if [ -e "${TUNERD_KEYS}/development" ]; then
        touch ${D}${sysconfdir}/tunerd/development-keys
    fi
}
FILES:${PN} = "${sysconfdir}"
