SUMMARY = "The boot script that chooses between two root slots"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://${TUNERD_TOP}/LICENSE;md5=59b9b16f5ccee349d4cb2b956bb58169"

PROVIDES = "u-boot-default-script"
DEPENDS = "u-boot-mkimage-native"
INHIBIT_DEFAULT_DEPS = "1"
PACKAGE_ARCH = "${MACHINE_ARCH}"
TUNERD_BOOT ?= "qemu-arm64"
TUNERD_DISK ?= "74756e64"

inherit deploy nopackages

FILESEXTRAPATHS:prepend := "${TUNERD_TOP}/board:"
SRC_URI = "file://image/boot.cmd file://image/setup.toml file://${TUNERD_BOOT}/board.env"
S = "${UNPACKDIR}"

do_compile() {
    mkimage -A arm64 -O linux -T script -C none -d ${S}/image/boot.cmd ${B}/boot.scr
    { echo "disk=${TUNERD_DISK}"; cat ${S}/${TUNERD_BOOT}/board.env; } >${B}/board.env
}

do_deploy() {
    install -m 0644 ${B}/boot.scr ${B}/board.env ${S}/image/setup.toml ${DEPLOYDIR}/
}
addtask deploy after do_compile before do_build
