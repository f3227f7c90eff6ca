# For tests/vm/run: a Pi-like machine that runs here. Debian's kernel for arm64 and its 64-bit user land on an emulated board with
# four Cortex-A76, a GPIO controller with a character device, and an SPI bus with a spidev made of four of its lines. Sourced after
# shell.sh, debian.sh and arm64.sh; needs root. The emulator runs from a Debian of its own, so that it is the same everywhere.

# What Pi OS is made from.
VM_SUITE=trixie

# need_machine: all that does not depend on what is tested, made once and kept under target/. Sets EMULATOR_ROOT, KERNEL, GUEST_ROOT.
need_machine() {
    debian_root vm-emulator $VM_SUITE qemu-system-arm,device-tree-compiler,cpio,kmod
    EMULATOR_ROOT=$DEBIAN_ROOT
    need_kernel
    debian_root vm-guest $VM_SUITE systemd,systemd-sysv,dbus,udev,kmod,procps,iproute2,curl,gpiod arm64
    GUEST_ROOT=$DEBIAN_ROOT
}

# emulator COMMAND...: in the emulator's Debian, where $WORK is /mnt. The mount is the command's own and goes with it.
emulator() {
    # shellcheck disable=SC2016 # the inner shell's
    exec unshare --mount sh -c 'mount --bind "$1" "$2/mnt" && root=$2 && shift 2 && exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' \
        sh "$WORK" "$EMULATOR_ROOT" "$@"
}

# need_kernel: Debian's newest kernel for arm64 in $VM_SUITE, with the modules that are wanted. Sets KERNEL, where they are.
need_kernel() {
    local apt=$WORK/apt options package mirror
    KERNEL=$TARGET/test-packages/vm-kernel
    [ ! -e "$KERNEL/complete" ] || return 0
    echo "   fetching a kernel for arm64, once"
    rm -rf "$KERNEL"
    mkdir -p "$KERNEL" "$apt/lists/partial" "$apt/cache/archives/partial"
    mirror=$(debian_mirror)
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $VM_SUITE main" >"$apt/sources.list"
    # An apt that knows nothing of this machine, so that neither suite nor architecture matters to it.
    options=(-o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache"
        -o Dir::State::status=/dev/null -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root)
    apt-get "${options[@]}" -qq update >"$WORK/apt.log" 2>&1 || { cat "$WORK/apt.log" >&2; fail "apt-get update for arm64 failed"; }
    package=$(apt-cache "${options[@]}" depends linux-image-arm64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n1)
    [ -n "$package" ] || fail "there is no linux-image-arm64 in $VM_SUITE"
    (cd "$apt" && apt-get "${options[@]}" -qq download "$package" >"$WORK/apt.log" 2>&1) || { cat "$WORK/apt.log" >&2; fail "$package cannot be fetched"; }
    dpkg-deb -x "$apt"/linux-image-*.deb "$WORK/kernel"
    modules=$(cd "$WORK/kernel" && find . -type d -path '*/lib/modules/*' -prune)
    version=${modules##*/}
    mkdir -p "$KERNEL/modules/$version"
    cp "$WORK/kernel/boot/vmlinuz-$version" "$KERNEL/vmlinuz"
    # SPI on lines of a GPIO controller, and what it is made of; the rest is built in.
    (cd "$WORK/kernel/$modules" && find . -name 'spi-gpio.ko*' -o -name 'spi-bitbang.ko*' -o -name 'modules.builtin*' -o -name modules.order) >"$WORK/wanted"
    (cd "$WORK/kernel/$modules" && xargs cp --parents -t "$KERNEL/modules/$version" <"$WORK/wanted")
    rm -rf "$WORK/kernel" "$apt"
    touch "$KERNEL/complete"
}

# make_guest: a copy of the guest's Debian, with the kernel's modules, that boots from memory. Sets GUEST.
make_guest() {
    GUEST=$WORK/guest
    cp -a "$GUEST_ROOT" "$GUEST"
    rm -rf "$GUEST"/usr/share/{doc,info,locale,man}
    mkdir -p "$GUEST/usr/lib/modules"
    cp -a "$KERNEL"/modules/* "$GUEST/usr/lib/modules/"
    (emulator depmod -b /mnt/guest "$(ls "$KERNEL/modules")") || fail "depmod failed"
    ln -sf sbin/init "$GUEST/init"
    # Without this it would be a first boot, in which systemd enables every unit by itself.
    echo 0b105194d0b105194d0b105194d0b105 >"$GUEST/etc/machine-id"
    echo vm >"$GUEST/etc/hostname"
}

# The board: as many cores as a Pi 5 has, of the same kind, and memory of which only what is used is taken.
BOARD=(-machine virt -cpu cortex-a76 -smp 4 -m 4096)

# make_board: the board's device tree, with an SPI bus on lines 0, 1, 2 and 4 of its GPIO controller and one device on it, of a
# kind that the kernel gives to spidev.
make_board() {
    local tree=/mnt/board.dtb gpio
    (emulator qemu-system-aarch64 "${BOARD[@]}" -machine dumpdtb=$tree -nodefaults -display none) >"$WORK/board.log" 2>&1 || { cat "$WORK/board.log" >&2; fail "the board has no device tree"; }
    gpio=$(emulator fdtget -t x $tree /pl061@9030000 phandle) || fail "the board has no GPIO controller"
    put() { (emulator fdtput "$@") || fail "the device tree cannot be changed: $*"; }
    put -p -t s $tree /spi compatible spi-gpio
    put -t x $tree /spi '#address-cells' 1
    put -t x $tree /spi '#size-cells' 0
    put -t x $tree /spi num-chipselects 1
    put -t x $tree /spi sck-gpios "$gpio" 0 0
    put -t x $tree /spi mosi-gpios "$gpio" 1 0
    put -t x $tree /spi miso-gpios "$gpio" 2 0
    put -t x $tree /spi cs-gpios "$gpio" 4 1
    put -p -t s $tree /spi/converter@0 compatible rohm,dh2228fv
    put -t x $tree /spi/converter@0 reg 0
    put -t i $tree /spi/converter@0 spi-max-frequency 1000000
}

# boot SECONDS KERNEL-ARGUMENTS: runs the machine until it powers itself off; its console goes to $WORK/console, and what it writes
# to /dev/vport0p1 to $WORK/results. One that takes longer is ended, and that is a failure.
boot() {
    local limit=$1 began=$SECONDS
    (cd "$GUEST" && find . -print0) >"$WORK/files"
    (emulator sh -c 'cd /mnt/guest && cpio --null --create --format=newc --quiet </mnt/files >/mnt/initrd') || fail "the guest cannot be packed"
    : >"$WORK/results"
    emulator qemu-system-aarch64 "${BOARD[@]}" -accel tcg,thread=multi -nodefaults -no-user-config -display none -no-reboot \
        -dtb /mnt/board.dtb -kernel /mnt/vmlinuz -initrd /mnt/initrd -append "console=ttyAMA0 rdinit=/sbin/init panic=-1 quiet systemd.getty_auto=no $2" \
        -serial file:/mnt/console -device virtio-serial-pci -chardev file,id=results,path=/mnt/results -device virtserialport,chardev=results \
        </dev/null >"$WORK/emulator.log" 2>&1 &
    VM=$!
    STARTED+=("$VM")
    while kill -0 "$VM" 2>/dev/null; do
        if [ $((SECONDS - began)) -ge "$limit" ]; then
            kill -KILL "$VM"
            tail -n 20 "$WORK/console" "$WORK/results" >&2
            fail "the machine had not powered off after $limit s"
        fi
        sleep 0.5
    done
    wait "$VM" || { cat "$WORK/emulator.log" "$WORK/console" >&2; fail "the emulator ended with $?"; }
    BOOTED_S=$((SECONDS - began))
}
