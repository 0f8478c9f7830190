SUMMARY = "A network tuner that Plex, Jellyfin, Kodi and VLC find as an HDHomeRun"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=59b9b16f5ccee349d4cb2b956bb58169"

inherit cargo cargo-update-recipe-crates systemd useradd

FILESEXTRAPATHS:prepend := "${TUNERD_TOP}:"
# src takes in board/*.toml and the page at compile time; Cargo.toml names the tests.
SRC_URI = " \
    file://.cargo;subdir=${BP} \
    file://Cargo.lock;subdir=${BP} \
    file://Cargo.toml;subdir=${BP} \
    file://LICENSE;subdir=${BP} \
    file://board;subdir=${BP} \
    file://src;subdir=${BP} \
    file://systemd;subdir=${BP} \
    file://tests;subdir=${BP} \
    file://tools/tunerd.toml.example;subdir=${BP} \
"
require ${BPN}-crates.inc

do_install() {
    install -d ${D}${bindir} ${D}${sysconfdir} ${D}${systemd_system_unitdir} ${D}${nonarch_libdir}/systemd/system.conf.d
    install -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/tunerd ${D}${bindir}/tunerd
    install -m 0644 ${S}/tools/tunerd.toml.example ${D}${sysconfdir}/tunerd.toml
    install -m 0644 ${S}/systemd/tunerd-watchdog.conf ${D}${nonarch_libdir}/systemd/system.conf.d/
    for unit in ${S}/systemd/*.service ${S}/systemd/*.path ${S}/systemd/*.timer; do
        if [ -e "$unit" ]; then
            install -m 0644 "$unit" ${D}${systemd_system_unitdir}/
        fi
    done
}

USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system video; --system render"
USERADD_PARAM:${PN} = "--system --home-dir /var/lib/tunerd --no-create-home --shell /sbin/nologin --user-group tunerd"

SYSTEMD_SERVICE:${PN} = "tunerd.service"
FILES:${PN} += "${systemd_system_unitdir} ${nonarch_libdir}/systemd"
CONFFILES:${PN} = "${sysconfdir}/tunerd.toml"
RDEPENDS:${PN} = "ca-certificates ffmpeg"
