#!/bin/bash
# boot.sh ROOT REPOSITORY: systemd as PID 1 in namespaces, until standard input ends.
#
# ROOT, an empty directory, becomes its root: a tmpfs with the machine's /usr, read-only, and an /etc of its own. Nothing
# that is enabled on the machine starts there: it knows no units but UNITS and what is installed there. REPOSITORY is
# /repository there, read-only. There is no other mount, network or user of the machine.
#
# The first line of standard output is the process id of that systemd, or else standard error says why there is none. At
# the end all its processes are killed, and its control groups removed.
set -euo pipefail

UNITS=(multi-user basic sysinit sockets slices network-online network shutdown umount)
UNITS=("${UNITS[@]/%/.target}" systemd-journald.{service,socket} systemd-journald-dev-log.socket)
PATH=$PATH:/usr/sbin:/sbin
here=$(realpath "$0") root=$(realpath "$1") repository=$(realpath "$2")

# The control groups: one in each hierarchy.
groups=()

outside() {
  local hierarchy group file
  for hierarchy in $(findmnt --raw --noheadings --output TARGET --types cgroup,cgroup2); do
    group=$hierarchy/herd-test-$$
    mkdir "$group"
    groups+=("$group")
    if [ -e "$group/tasks" ] && [ -e "$group/cpuset.cpus" ]; then # version 1: they are empty, and nothing runs there
      for file in cpuset.cpus cpuset.mems; do cat "$hierarchy/$file" >"$group/$file"; done
    fi
  done
  (
    for group in "${groups[@]}"; do echo $BASHPID >"$group/cgroup.procs"; done
    exec unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup \
      bash "$here" "$root" "$repository" "${groups[@]}"
  ) </dev/null &
  exec >&- # systemd has the only end
  cat >/dev/null
  kill -9 $! 2>/dev/null || true
  wait $! 2>/dev/null || true
}

# needed fails unless there is what the test needs.
needed() {
  local program
  for program in unshare nsenter setpriv findmnt pivot_root ip systemctl journalctl groupadd openssl; do
    type -P $program >/dev/null || { echo "no $program" >&2; exit 1; }
  done
  if [ ! -e /sys/fs/cgroup/cgroup.controllers ] && [ "$(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')" -ge 256 ]; then
    echo "this systemd needs control groups of version 2" >&2
    exit 1
  fi
}

# clean removes the groups as soon as they have no processes: those that were killed may stay for a moment.
clean() {
  local group tries=0
  for group in "${groups[@]}"; do
    while [ -d "$group" ] && [ $((tries++)) -lt 200 ]; do
      find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || sleep 0.05
    done
  done
}

# fixed DIRECTORY AT: makes a directory visible below the new root, read-only.
fixed() {
  mkdir -p "$2"
  mount --rbind "$1" "$2"
  mount -o remount,bind,ro "$2"
}

inside() {
  local dir file group pid systemd
  read -r pid _ </proc/self/stat # of the machine's /proc
  mount --make-rprivate /
  mount -t tmpfs -o mode=755 tmpfs "$root"
  cd "$root"
  mkdir -p old proc sys dev run etc/systemd/system var root
  mkdir -m 1777 tmp var/tmp

  fixed /usr usr
  for dir in /bin /sbin /lib*; do
    if [ -L "$dir" ]; then cp -P "$dir" .; else fixed "$dir" ".$dir"; fi
  done
  mount -t tmpfs -o mode=755 tmpfs usr/local
  mkdir -p usr/local/bin usr/local/lib/systemd/system
  fixed "$repository" repository

  mount -t proc proc proc
  fixed proc/sys proc/sys
  mount -t sysfs -o ro sysfs sys
  if [ "${1%/*}" != /sys/fs/cgroup ]; then mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup; fi # version 1
  for group; do
    dir=.${group%/*}
    mkdir -p "$dir"
    mount --bind "$group" "$dir"
    for file in $(tr , ' ' <<<"${dir##*/}"); do # cpu and cpuacct are links to cpu,cpuacct
      [ -e "${dir%/*}/$file" ] || ln -s "${dir##*/}" "${dir%/*}/$file"
    done
  done
  mount -t tmpfs -o mode=755 tmpfs dev
  for file in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "dev/${file%:*}" c 1 "${file#*:}"; done
  mknod -m 666 dev/tty c 5 0
  ln -s pts/ptmx dev/ptmx # without it there is no PrivateDevices=
  ip link set lo up

  echo "root:x:0:0::/root:/bin/sh" >etc/passwd
  echo "root:x:0:" >etc/group
  printf '%s: files systemd\n' passwd group >etc/nsswitch.conf
  echo 0123456789abcdef0123456789abcdef >etc/machine-id
  cp /etc/ld.so.cache etc/ || true
  systemd=/usr/lib/systemd
  [ -x $systemd/systemd ] || systemd=/lib/systemd
  dir=usr/local/lib/systemd/system
  for file in "${UNITS[@]}"; do cp "$systemd/system/$file" $dir; done
  mkdir $dir/sysinit.target.wants
  ln -s ../systemd-journald.service $dir/sysinit.target.wants/

  pivot_root . old
  umount -l old
  echo "$pid"
  exec env -i container=test SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system:/usr/local/lib/systemd/system \
    SYSTEMD_GENERATOR_PATH=/var \
    setpriv --bounding-set=-sys_module,-sys_time,-sys_boot,-sys_rawio,-syslog \
    $systemd/systemd --unit=multi-user.target
}

shift 2
if [ $# -gt 0 ]; then inside "$@"; fi
needed
trap clean EXIT
outside
