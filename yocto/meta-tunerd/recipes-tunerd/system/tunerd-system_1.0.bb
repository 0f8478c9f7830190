SUMMARY = "What makes a system of systemd's a box: the files of board/image/root"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://${TUNERD_TOP}/LICENSE;md5=59b9b16f5ccee349d4cb2b956bb58169"

PACKAGE_ARCH = "${MACHINE_ARCH}"
INHIBIT_DEFAULT_DEPS = "1"
TUNERD_DISK ?= "74756e64"

FILESEXTRAPATHS:prepend := "${TUNERD_TOP}/board/image:"
SRC_URI = "file://root"
S = "${UNPACKDIR}/root"
do_compile[noexec] = "1"

# /etc belongs to base-files, and is laid over it by the image.
do_install() {
    install -d ${D}/usr ${D}/data ${D}/system
    cp -R --no-dereference --preserve=mode,links ${S}/usr/. ${D}/usr/
    sed -i 's|@disk@|${TUNERD_DISK}|g' ${D}${nonarch_libdir}/udev/rules.d/*.rules
    install -D -m 0644 ${S}/etc/fw_env.config ${D}${sysconfdir}/fw_env.config
    # RAUC's recipe installs its own.
    install -d ${D}${sysconfdir}/dbus-1/system.d
    mv ${D}${datadir}/dbus-1/system.d/de.pengutronix.rauc.conf ${D}${sysconfdir}/dbus-1/system.d/
    rm -rf ${D}${datadir}/dbus-1
    # The recipe of tunerd makes the user.
    rm -rf ${D}${nonarch_libdir}/sysusers.d
}

FILES:${PN} = "/usr /data /system ${sysconfdir}"
RDEPENDS:${PN} = "e2fsprogs-e2fsck e2fsprogs-mke2fs e2fsprogs-resize2fs util-linux-sfdisk util-linux-partx util-linux-findmnt"
