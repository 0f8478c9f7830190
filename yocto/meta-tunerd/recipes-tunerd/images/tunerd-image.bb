SUMMARY = "The card of a box: two root slots that cannot be written, and a data partition"
LICENSE = "MIT | Apache-2.0"

inherit image

IMAGE_INSTALL = "packagegroup-tunerd"
IMAGE_FEATURES = "read-only-rootfs"
IMAGE_LINGUAS = ""
# The first one is what goes into a slot, in the bundle and on the card.
IMAGE_FSTYPES = "ext4 wic.zst wic.bmap"
WKS_FILE = "tunerd-ab.wks.in"
EXTRA_IMAGECMD:ext4 = "-i 8192 -m 0 -O ^has_journal,^metadata_csum_seed"
# In KiB, the size of a slot: board/image has the same.
IMAGE_ROOTFS_SIZE = "393216"
IMAGE_ROOTFS_MAXSIZE = "393216"
IMAGE_OVERHEAD_FACTOR = "1.0"
IMAGE_ROOTFS_EXTRA_SPACE = "0"

do_rootfs[depends] += "tunerd-initramfs:do_image_complete"
do_image_wic[depends] += "u-boot-default-script:do_deploy"
do_image_wic[depends] += "${@'virtual/bootloader:do_deploy' if d.getVar('PREFERRED_PROVIDER_virtual/bootloader') else ''}"

# What boot.cmd loads, what board/image/initrd binds to, and no way to log in.
tunerd_finish() {
    ln -sfn ${KERNEL_IMAGETYPE} ${IMAGE_ROOTFS}/boot/vmlinuz
    install -m 0644 ${DEPLOY_DIR_IMAGE}/tunerd-initramfs-${MACHINE}.rootfs.cpio.zst ${IMAGE_ROOTFS}/boot/initrd
    printf 'IMAGE_ID=tunerd\nIMAGE_VERSION=%s\nVARIANT_ID=%s\n' '${DISTRO_VERSION}' '${TUNERD_BOARD}' \
        >>${IMAGE_ROOTFS}${nonarch_libdir}/os-release
    : >${IMAGE_ROOTFS}${sysconfdir}/machine-id
    : >${IMAGE_ROOTFS}${sysconfdir}/fstab
    echo tunerd >${IMAGE_ROOTFS}${sysconfdir}/hostname
    for unit in getty@ serial-getty@ console-getty container-getty@ autovt@ debug-shell systemd-firstboot emergency rescue; do
        ln -sfn /dev/null ${IMAGE_ROOTFS}${sysconfdir}/systemd/system/$unit.service
    done
    rm -f ${IMAGE_ROOTFS}${systemd_system_unitdir}/rauc-mark-good.service
}
ROOTFS_POSTPROCESS_COMMAND += "tunerd_finish"
