#!/usr/bin/env bash
# Installs biosigd as a service on Raspberry Pi OS or Debian, and takes it away again. Every step is told before it is done;
# run again, it changes only what is not yet so.
#
#     sudo deploy/install.sh [--binary FILE] [--config FILE] [--no-spi] [--isolate CORES] [--performance] [--no-start] [--dry-run]
#     sudo deploy/install.sh --uninstall [--dry-run]
#
#     --binary FILE    a biosigd that was built elsewhere; without it, it is built here, by cargo, as the user who called sudo
#     --config FILE    becomes /etc/biosigd/biosigd.toml where there is none yet; default: config/pi5-lan.toml
#     --no-spi         leaves the firmware's config.txt alone; for a source that is not on SPI
#     --isolate CORES  keeps cores free of other work and of interrupts for the two real-time threads, such as 2-3
#     --performance    holds all cores at their full clock while the machine is up
#     --no-start       leaves the service for the next boot
#     --dry-run        tells every step and does none
#     --uninstall      removes what was installed; recordings, configuration and account stay
#     --root DIR       does all that to the system whose root is DIR, and starts nothing; for images and for tests
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=
binary=
config=$here/config/pi5-lan.toml
isolate=
spi=yes
performance=no
start=yes
dry=no
uninstall=no

stop_with() {
    echo "install.sh: $2" >&2
    exit "$1"
}

while [ $# -gt 0 ]; do
    case $1 in
        --binary | --config | --isolate | --root)
            [ $# -gt 1 ] || stop_with 64 "$1 needs a value"
            declare "${1#--}=$2"
            shift
            ;;
        --no-spi) spi=no ;;
        --performance) performance=yes ;;
        --no-start) start=no ;;
        --dry-run) dry=yes ;;
        --uninstall) uninstall=yes ;;
        -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) stop_with 64 "there is no option $1; --help shows what there is" ;;
    esac
    shift
done

root=${root%/}
[ -z "$root" ] || [ -d "$root" ] || stop_with 66 "--root $root: no such directory"
for file in "$binary" "$config"; do
    [ -z "$file" ] || [ -f "$file" ] || stop_with 66 "$file: no such file"
done
[ "$(id -u)" -eq 0 ] || [ "$dry" = yes ] || stop_with 77 "only root may install; try: sudo $0"
# Its files lie in the same places, and dpkg would not know of a change.
if [ -e "$root/var/lib/dpkg/info/biosigd.list" ]; then
    stop_with 73 "biosigd is installed here as a package; to go on: apt remove biosigd"
fi
# Only a system that runs has services to start and devices to look at.
live=no
[ -n "$root" ] || [ ! -d /run/systemd/system ] || live=yes

restart_needed=no
reboot_needed=no

# does TEXT COMMAND...: tells a step, then does it.
does() {
    echo "  $1"
    shift
    [ "$dry" = yes ] || "$@"
}

already() { echo "  already so: $1"; }

# place MODE FILE TARGET: installs FILE as TARGET, below the root, where it is not the same yet.
place() {
    if cmp -s "$2" "$root$3"; then
        already "$3"
    else
        does "install $3" install -D -m "$1" "$2" "$root$3"
        restart_needed=yes
    fi
}

# --- the firmware's files: /boot/firmware on Pi OS since Debian 12, /boot before -----------------------------------------------

firmware_file() {
    local dir
    for dir in /boot/firmware /boot; do
        if [ -f "$root$dir/$1" ]; then
            echo "$dir/$1"
            return
        fi
    done
}

spi_begin='# biosigd: SPI for the converters; these lines go with install.sh --uninstall'
spi_end='# biosigd: end'

# Whether the last setting of SPI that holds for a Pi 5 is `on`.
spi_is_on() {
    awk '
        /^[ \t]*\[/ { section = tolower($0); gsub(/[][ \t\r]/, "", section) }
        /^[ \t]*dtparam=/ && (section == "" || section == "all" || section == "pi5") {
            sub(/[#\r].*/, ""); sub(/^[ \t]*dtparam=/, "")
            n = split($0, settings, ",")
            for (i = 1; i <= n; i++) if (settings[i] ~ /^[ \t]*spi(=|[ \t]*$)/) on = settings[i] !~ /=[ \t]*(off|no|false|0)/
        }
        END { exit !on }' "$1"
}

append_spi() {
    # A file whose last line has no end would swallow the first of ours.
    [ -z "$(tail -c1 "$1")" ] || echo >>"$1"
    printf '%s\n' "$spi_begin" '[all]' 'dtparam=spi=on' "$spi_end" >>"$1"
}

switch_spi_on() {
    local file
    file=$(firmware_file config.txt)
    if [ -z "$file" ]; then
        echo "  no config.txt in /boot/firmware or /boot: this is no Raspberry Pi, so SPI is left as it is"
    elif spi_is_on "$root$file"; then
        already "SPI is on in $file"
    else
        does "switch SPI on: dtparam=spi=on in $file" append_spi "$root$file"
        reboot_needed=yes
    fi
}

# What was added to the kernel's command line, for --uninstall: the file itself holds no comments.
added=/usr/share/biosigd/cmdline-added

# The cores of a list such as 0,2-3, one per line.
cores_of() {
    local part
    for part in ${1//,/ }; do
        [[ $part =~ ^[0-9]+(-[0-9]+)?$ ]] || stop_with 64 "--isolate $1: a list of cores is wanted, such as 2-3 or 1,3"
        seq "${part%-*}" "${part#*-}"
    done
}

append_cmdline() {
    local line
    line=$(tr -d '\n' <"$1")
    printf '%s %s\n' "$line" "$2" >"$1"
    mkdir -p "$root${added%/*}"
    echo "$2" >"$root$added"
}

isolate_cores() {
    local file cores others n_cores setting there
    cores=$(cores_of "$isolate")
    n_cores=$(getconf _NPROCESSORS_CONF)
    [ "$(sort -n <<<"$cores" | tail -n1)" -lt "$n_cores" ] || stop_with 64 "--isolate $isolate: this machine has cores 0 to $((n_cores - 1))"
    others=$(seq 0 $((n_cores - 1)) | grep -vxF "$cores" | paste -sd,) || stop_with 64 "--isolate $isolate leaves no core for everything else"
    file=$(firmware_file cmdline.txt)
    setting="isolcpus=domain,managed_irq,$isolate irqaffinity=$others"
    if [ -z "$file" ]; then
        echo "  no cmdline.txt in /boot/firmware or /boot: add \`$setting\` to the kernel's command line yourself"
    elif grep -q '\bisolcpus=' "$root$file"; then
        there=$(grep -o '\bisolcpus=[^ ]*' "$root$file" | head -n1)
        if [ "$there" = "${setting%% *}" ]; then
            already "$file has $there"
        else
            echo "  left as it is: $file has $there, which is not what --isolate $isolate asks for; change it there, to \`$setting\`"
        fi
    else
        does "keep cores $isolate free: \`$setting\` in $file" append_cmdline "$root$file" "$setting"
        reboot_needed=yes
    fi
}

# --- in and out ----------------------------------------------------------------------------------------------------------

build() {
    local owner=${SUDO_USER:-}
    binary=${CARGO_TARGET_DIR:-$here/target}/release/biosigd
    # As the user who has the toolchain, and whose files the build makes.
    if [ -n "$owner" ]; then
        does "build biosigd as $owner: cargo build --release --locked" \
            sudo -u "$owner" -H bash -lc "cd $(printf %q "$here") && cargo build --release --locked"
    else
        does "build biosigd: cargo build --release --locked" bash -lc "cd $(printf %q "$here") && cargo build --release --locked"
    fi
}

# Names of the installed files with their sources.
units="biosigd.service biosigd-performance.service"

install_all() {
    [ -n "$binary" ] || build
    place 755 "$binary" /usr/bin/biosigd
    for unit in $units; do
        place 644 "$here/systemd/$unit" "/usr/lib/systemd/system/$unit"
    done
    place 644 "$here/systemd/60-biosigd.rules" /usr/lib/udev/rules.d/60-biosigd.rules
    place 644 "$here/systemd/biosigd.sysusers" /usr/lib/sysusers.d/biosigd.conf
    if grep -q '^biosigd:' "$root/etc/passwd" && grep -q '^spi:.*[:,]biosigd\(,\|$\)' "$root/etc/group"; then
        already "the account biosigd"
    else
        does "make the account biosigd, a member of spi and gpio" systemd-sysusers --root="${root:-/}" "$here/systemd/biosigd.sysusers"
    fi
    if [ -e "$root/etc/biosigd/biosigd.toml" ]; then
        already "/etc/biosigd/biosigd.toml is yours and stays as it is"
    else
        does "install /etc/biosigd/biosigd.toml from $(basename "$config")" install -D -m 644 "$config" "$root/etc/biosigd/biosigd.toml"
        restart_needed=yes
    fi
    [ "$spi" = no ] || switch_spi_on
    [ -z "$isolate" ] || isolate_cores
    enable biosigd
    [ "$performance" = no ] || enable biosigd-performance
    [ "$live" = no ] || [ "$dry" = yes ] || go_live
    closing_words
}

enable() {
    if systemctl --root="${root:-/}" is-enabled --quiet "$1" 2>/dev/null; then
        already "$1 starts at boot"
    else
        does "start $1 at boot: systemctl enable" systemctl --root="${root:-/}" enable --quiet "$1"
    fi
}

go_live() {
    systemctl daemon-reload
    if udevadm control --reload 2>/dev/null; then
        udevadm trigger --subsystem-match=spidev --subsystem-match=gpio
    else
        echo "  udev does not run here: its rules hold from the next boot on"
    fi
    [ "$performance" = no ] || does "hold all cores at their full clock" systemctl start biosigd-performance
    [ "$start" = yes ] || return 0
    if systemctl is-active --quiet biosigd && [ "$restart_needed" = no ]; then
        already "biosigd runs"
        return
    fi
    echo "  check the configuration"
    if ! runuser -u biosigd -- env STATE_DIRECTORY=/var/lib/biosigd /usr/bin/biosigd check >/dev/null; then
        stop_with 78 "the configuration is wrong, so nothing is started; mend it, then: systemctl restart biosigd"
    fi
    # It is ready with its first frame; a converter that gives none must not hold up this script.
    does "start biosigd" systemctl restart --no-block biosigd
    local waited
    for ((waited = 0; waited < 20; waited++)); do
        ! systemctl is-active --quiet biosigd || break
        sleep 0.5
    done
    echo "  biosigd is $(systemctl show -P ActiveState biosigd): $(systemctl show -P StatusText biosigd)"
}

closing_words() {
    local host
    host=$(hostname 2>/dev/null || echo the-pi)
    echo
    [ "$reboot_needed" = no ] || echo "Reboot once: the firmware reads its files at boot."
    echo "The page is at http://127.0.0.1:8707/ on this machine. From another one, without opening anything:"
    echo "    ssh -L 8707:127.0.0.1:8707 ${SUDO_USER:-USER}@$host      and then http://127.0.0.1:8707/ there"
    echo "Recordings go to /var/lib/biosigd/recordings; members of the group biosigd can read them: sudo usermod -aG biosigd ${SUDO_USER:-USER}"
    echo "The configuration is /etc/biosigd/biosigd.toml, the log is: journalctl -u biosigd"
}

remove() {
    if [ -e "$root$1" ]; then
        does "remove $1" rm -f "$root$1"
    fi
}

drop_spi() {
    local kept
    kept=$(mktemp)
    awk -v begin="$spi_begin" -v end="$spi_end" '$0 == begin { ours = 1 } !ours { print } $0 == end { ours = 0 }' "$1" >"$kept"
    cat "$kept" >"$1"
    rm -f "$kept"
}

drop_cmdline() {
    local line setting
    line=$(tr -d '\n' <"$1")
    setting=$(cat "$root$added")
    printf '%s\n' "${line/" $setting"/}" >"$1"
}

remove_all() {
    local unit file
    for unit in $units; do
        if systemctl --root="${root:-/}" is-enabled --quiet "$unit" 2>/dev/null; then
            [ "$live" = no ] || does "stop $unit; a recording is finished first" systemctl stop "$unit"
            does "no longer start $unit at boot" systemctl --root="${root:-/}" disable --quiet "$unit"
        fi
        remove "/usr/lib/systemd/system/$unit"
    done
    file=$(firmware_file config.txt)
    if [ -n "$file" ] && grep -qxF "$spi_begin" "$root$file"; then
        does "take dtparam=spi=on out of $file again" drop_spi "$root$file"
        reboot_needed=yes
    fi
    file=$(firmware_file cmdline.txt)
    if [ -n "$file" ] && [ -e "$root$added" ]; then
        does "take \`$(cat "$root$added")\` out of $file again" drop_cmdline "$root$file"
        reboot_needed=yes
    fi
    remove "$added"
    [ ! -d "$root${added%/*}" ] || does "remove ${added%/*}" rmdir "$root${added%/*}"
    remove /usr/lib/udev/rules.d/60-biosigd.rules
    remove /usr/lib/sysusers.d/biosigd.conf
    remove /usr/bin/biosigd
    if [ "$live" = yes ] && [ "$dry" = no ]; then
        systemctl daemon-reload
        udevadm control --reload 2>/dev/null || true
    fi
    echo
    [ "$reboot_needed" = no ] || echo "Reboot once: the firmware reads its files at boot."
    echo "Left as they are: recordings in /var/lib/biosigd, the configuration in /etc/biosigd, and the account biosigd, which owns the"
    echo "recordings. To remove these too, for ever: sudo rm -r /var/lib/biosigd /etc/biosigd && sudo userdel biosigd"
}

[ "$dry" = no ] || echo "A dry run: this is what would be done."
if [ "$uninstall" = yes ]; then
    echo "Removing biosigd from ${root:-this system}"
    remove_all
else
    echo "Installing biosigd on ${root:-this system}"
    install_all
fi
