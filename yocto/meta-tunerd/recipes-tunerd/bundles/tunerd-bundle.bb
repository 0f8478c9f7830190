SUMMARY = "The bundle that updates a box: the root slot of tunerd-image, signed"
LICENSE = "MIT | Apache-2.0"

inherit bundle

TUNERD_BOARD ?= "${MACHINE}"
TUNERD_KEYS ?= ""

RAUC_BUNDLE_FORMAT = "verity"
RAUC_BUNDLE_COMPATIBLE = "tunerd-${TUNERD_BOARD}"
RAUC_BUNDLE_VERSION = "${DISTRO_VERSION}"
RAUC_BUNDLE_SLOTS = "rootfs"
RAUC_SLOT_rootfs = "tunerd-image"
RAUC_SLOT_rootfs[fstype] = "ext4"
# Over the network, only blocks that the box does not have yet.
RAUC_SLOT_rootfs[adaptive] = "block-hash-index"

RAUC_KEY_FILE = "${TUNERD_KEYS}/release.key"
RAUC_CERT_FILE = "${TUNERD_KEYS}/release.pem"
RAUC_KEYRING_FILE = "${TUNERD_KEYS}/root.pem"
