# What U-Boot runs: choose a slot, count the attempt, start its kernel. One script for every board; what differs is in
# board.env beside it. Made into boot.scr by tools/image.
#
# The state is U-Boot's environment format, 4 KiB at 1 MiB of the same disk, outside any partition; RAUC writes it with
# fw_setenv. A slot that an update was written to has 3 attempts until it has proved itself. One that has proved itself
# gets 30 (boot-attempts in system.conf), anew at each good start: so a row of power cuts does not send the box back to
# the older system, and one whose card went bad under it is still left at last.

setenv state 0x800
setenv state_blocks 0x8
setenv state_bytes 0x1000

load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} board.env && env import -t ${ramdisk_addr_r} ${filesize}

setenv BOOT_ORDER
setenv BOOT_A_LEFT
setenv BOOT_B_LEFT
${devtype} dev ${devnum}
${devtype} read ${ramdisk_addr_r} ${state} ${state_blocks}
env import -c ${ramdisk_addr_r} ${state_bytes} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT || echo "tunerd: no state, beginning anew"
test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "A B"
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3

# All of the block is written each time, so that nothing old is left behind the text.
setenv save_state 'mw.b ${ramdisk_addr_r} 0 ${state_bytes}; env export -c -s ${state_bytes} ${ramdisk_addr_r} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT; ${devtype} write ${ramdisk_addr_r} ${state} ${state_blocks}'
setenv start 'load ${devtype} ${devnum}:${part} ${kernel_addr_r} /boot/vmlinuz && load ${devtype} ${devnum}:${part} ${ramdisk_addr_r} /boot/initrd && setenv bootargs "root=PARTUUID=${disk}-0${part} ro rootwait panic=10 rauc.slot=${slot} ${board_args}" && booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}'

for slot in ${BOOT_ORDER}; do
    if test "${slot}" = "A" -a 0x${BOOT_A_LEFT} -gt 0; then
        setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
        echo "tunerd: starting A, attempts left 0x${BOOT_A_LEFT}"
        run save_state
        setenv part 2
        run start
        echo "tunerd: A cannot be loaded"
        setenv BOOT_A_LEFT 0
    fi
    if test "${slot}" = "B" -a 0x${BOOT_B_LEFT} -gt 0; then
        setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1
        echo "tunerd: starting B, attempts left 0x${BOOT_B_LEFT}"
        run save_state
        setenv part 3
        run start
        echo "tunerd: B cannot be loaded"
        setenv BOOT_B_LEFT 0
    fi
done

# Both are used up. A box that stays dark helps nobody: from the beginning.
echo "tunerd: no attempts left, trying both again"
setenv BOOT_A_LEFT 3
setenv BOOT_B_LEFT 3
run save_state
reset
