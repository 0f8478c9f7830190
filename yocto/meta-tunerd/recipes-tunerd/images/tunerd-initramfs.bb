SUMMARY = "The initial ramdisk of the slots, as in board/image"
LICENSE = "MIT | Apache-2.0"

PACKAGE_INSTALL = "base-passwd tunerd-initrd"
IMAGE_FEATURES = ""
IMAGE_LINGUAS = ""
IMAGE_FSTYPES = "cpio.zst"
IMAGE_ROOTFS_SIZE = "8192"
IMAGE_ROOTFS_EXTRA_SPACE = "0"

inherit image
