#!/bin/sh
# A single-node Slurm cluster on this machine, and the workflow run on it; needs root and Debian's
# packages slurm-wlm and munge (apt-get install slurm-wlm munge), and in the environment
# `pip install snakemake-executor-plugin-slurm`. Leaves nothing running.
#
#     sh tests/slurm.sh [snakemake arguments ...]
#
# Without arguments it runs the telecom example.
set -eu
cd "$(dirname "$0")/.."
test $# -gt 0 || set -- --config firm=config/telecom.yaml

# Jobs find Slurm by its usual configuration only: the executor takes SLURM_* out of their environment.
conf=/etc/slurm/slurm.conf
test ! -e "$conf" || { echo "$conf exists: this machine has a Slurm already." >&2; exit 1; }
state=$(mktemp -d)
cpus=$(nproc)
memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
host=$(hostname -s)
cat > "$conf" <<CONF
ClusterName=single
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$state/munge.socket
CredType=cred/munge
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/d
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobCompType=jobcomp/filetxt
JobCompLoc=$state/jobs.txt
MinJobAge=3600
NodeName=$host NodeAddr=127.0.0.1 Sockets=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF

# `true` keeps the clean-up going past what has already ended.
finish() {
    for name in slurmd slurmctld munged; do
        if test -f "$state/$name.pid"; then kill "$(cat "$state/$name.pid")" 2>/dev/null || true; fi
    done
    sleep 2
    rm -rf "$state" "$conf"
}
trap finish EXIT INT TERM

mkdir -m 755 "$state/ctld" "$state/d"
chmod 755 "$state"
dd if=/dev/urandom of="$state/munge.key" bs=64 count=1 2>/dev/null
chmod 400 "$state/munge.key"
munged --force --key-file="$state/munge.key" --socket="$state/munge.socket" \
    --pid-file="$state/munged.pid" --log-file="$state/munged.log" --seed-file="$state/munged.seed"
slurmctld
slurmd
for _ in 1 2 3 4 5 6 7 8 9 10; do
    sinfo --noheader --states=idle 2>/dev/null | grep -q idle && break
    sleep 1
done
sinfo
status=0
# There is no accounting database here, which sacct would ask.
snakemake --profile profiles/slurm --slurm-status-command squeue "$@" || status=$?
echo "Jobs that Slurm ran:"
sed -E 's/^(JobId=[0-9]+) .*(JobState=[A-Z]+) .*(NodeList=[^ ]+) .* (ExitCode=[0-9:]+).*/\1 \2 \3 \4/' \
    "$state/jobs.txt"
exit $status
