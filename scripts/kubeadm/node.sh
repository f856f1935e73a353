#!/usr/bin/env bash
# A "machine" of the kubeadm lab (machine.ts), as far as it has to be done from inside. A machine is a set of network, pid,
# mount, uts, ipc and cgroup namespaces whose root is an overlay of this machine's `/` on a disk image of its own, so that
# every path is the default one: /etc/kubernetes/manifests, /var/lib/kubelet, /run/containerd/containerd.sock …
#
#     node.sh boot CGROUP NETNS FOLDER PARTS   enters cgroups and namespaces, then `init`; prints "ready" when containerd runs
#     node.sh sweep CGROUP                     removes the cgroups of a machine that was switched off
#     node.sh template DISK PARTS TAR…         makes a disk image with container images in it
#
# FOLDER has disk.img, mnt/ and files/ (copied over the root at boot), PARTS the foreign software (parts.ts).
# cgroup v1 only: the controllers are mounted anew inside the cgroup namespace.
set -euo pipefail

controllers=(cpu cpuacct cpuset memory devices freezer blkio pids)
# What the kubelet and containerd would write for the whole of this machine: they are shown files that have it already.
sysctls=(vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000)

# The folder of our own cgroup in the hierarchy of controller $1; fails where it isn't mounted.
cgroup_folder() {
  local path
  path=$(sed -nE "s/^[0-9]+:([^:]*,)?$1(,[^:]*)?:(.*)$/\3/p" /proc/self/cgroup)
  [ -n "$path" ] && [ -d "/sys/fs/cgroup/$1" ] && echo "/sys/fs/cgroup/$1${path%/}"
}

boot() {
  local name=$1 netns=$2 folder=$3 parts=$4 controller base own
  for controller in "${controllers[@]}"; do
    base=$(cgroup_folder "$controller") || continue
    own=$base/$name
    mkdir -p "$own"
    if [ "$controller" = cpuset ]; then
      cat "$base/cpuset.cpus" >"$own/cpuset.cpus"
      cat "$base/cpuset.mems" >"$own/cpuset.mems"
      echo 1 >"$own/cgroup.clone_children"
    fi
    owns+=("$own")
  done
  for own in "${owns[@]}"; do echo $$ >"$own/cgroup.procs"; done
  exec nsenter --net="/run/netns/$netns" unshare --mount --uts --ipc --pid --cgroup --fork --kill-child \
    --propagation private bash "$0" init "$folder" "$parts"
}
owns=()

sweep() {
  local name=$1 controller own attempt
  for controller in "${controllers[@]}"; do
    own=$(cgroup_folder "$controller")/$name || continue
    for attempt in $(seq 40); do
      [ -d "$own" ] || break
      find "$own" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
    done
  done
}

init() {
  local folder=$1 parts=$2
  local disk=$folder/mnt root=$folder/mnt/root controller path entry
  mount -o loop "$folder/disk.img" "$disk"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"
  for path in proc sys dev run tmp var/lib/containerd var/lib/kubelet var/lib/etcd opt/cni/bin opt/lab .old \
    var/log/pods var/log/containers var/log/lab; do mkdir -p "$root/$path"; done
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/run" -o mode=755
  mount -t tmpfs tmpfs "$root/tmp" -o mode=1777
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup" -o mode=755
  for controller in "${controllers[@]}"; do
    [ -n "$(cgroup_folder "$controller")" ] || continue
    mkdir "$root/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "$root/sys/fs/cgroup/$controller"
  done
  # On the disk itself: containerd's overlays may not lie on an overlay.
  for path in containerd kubelet etcd; do mount --bind "$disk/$path" "$root/var/lib/$path"; done
  mount --bind "$parts" "$root/opt/lab"
  mount -o remount,bind,ro "$root/opt/lab"
  mount --bind "$parts/cni" "$root/opt/cni/bin"
  mkdir -p "$root/run/lab/sysctl" "$root/run/lab/units"
  for entry in "${sysctls[@]}"; do
    path=$root/run/lab/sysctl/$(tr / _ <<<"${entry%=*}")
    echo "${entry#*=}" >"$path"
    [ ! -e "$root/proc/sys/${entry%=*}" ] || mount --bind "$path" "$root/proc/sys/${entry%=*}"
  done
  rm -f "$root/etc/resolv.conf" "$root/etc/hostname"
  cp -a "$folder/files/." "$root/"
  cd "$root"
  pivot_root . .old
  umount -l /.old
  mount --make-rshared /
  hostname "$(cat /etc/hostname)"
  for path in /opt/lab/bin/*; do ln -sf "$path" /usr/local/bin/; done
  supervise containerd 1 /usr/local/bin/containerd &
  # As kubeadm's unit for systemd: again after ten seconds.
  supervise kubelet 10 /usr/local/lib/lab/kubelet &
  until [ -S /run/containerd/containerd.sock ]; do sleep 0.05; done
  echo ready
  wait
}

# Keeps one service up for as long as the file UNIT.want is there; UNIT.kick ends the pause between two attempts.
supervise() {
  local unit=/run/lab/units/$1 pause=$2 pid
  shift 2
  touch "$unit.want"
  while :; do
    rm -f "$unit.kick"
    if [ -e "$unit.want" ]; then
      env -i PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/root LANG=C \
        setsid "$@" </dev/null >>"/var/log/lab/${unit##*/}.log" 2>&1 &
      pid=$!
      echo "$pid" >"$unit.pid"
      wait "$pid" || true
      rm -f "$unit.pid"
    fi
    for _ in $(seq $((pause * 10))); do
      [ ! -e "$unit.kick" ] || break
      sleep 0.1
    done
  done
}

template() {
  local disk=$1 parts=$2 folder=$1.mnt containerd
  shift 2
  truncate -s 12G "$disk"
  mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 "$disk"
  mkdir -p "$folder"
  mount -o loop "$disk" "$folder"
  mkdir "$folder"/{containerd,kubelet,etcd,upper,work,root,run}
  printf 'version = 3\ndisabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]\n' \
    >"$folder/run/config.toml"
  local socket=$folder/run/containerd.sock
  PATH=$parts/bin:$PATH "$parts/bin/containerd" --config "$folder/run/config.toml" --address "$socket" \
    --root "$folder/containerd" --state "$folder/run/state" >"$disk.log" 2>&1 &
  containerd=$!
  until "$parts/bin/ctr" --address "$socket" version >/dev/null 2>&1; do kill -0 "$containerd" && sleep 0.1; done
  local archive
  for archive in "$@"; do
    "$parts/bin/ctr" --address "$socket" -n k8s.io images import --snapshotter overlayfs "$archive"
  done
  kill "$containerd"
  wait "$containerd" || true
  rm -rf "$folder/run"
  umount "$folder"
  rmdir "$folder"
}

"$@"
