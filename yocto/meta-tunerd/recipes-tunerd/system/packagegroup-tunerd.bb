SUMMARY = "All that a box needs that is nothing but a tuner"
LICENSE = "MIT | Apache-2.0"
PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit packagegroup

# No ssh, no getty, no package manager.
RDEPENDS:${PN} = " \
    packagegroup-core-boot \
    kernel-image \
    kernel-modules \
    libubootenv-bin \
    rauc \
    tunerd \
    tunerd-rauc-conf \
    tunerd-system \
    tzdata-core \
    wireless-regdb-static \
    wpa-supplicant \
"
RRECOMMENDS:${PN} = "${MACHINE_EXTRA_RRECOMMENDS}"
