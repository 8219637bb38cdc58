#!/usr/bin/env bash
# Train one method on several nodes of a SLURM cluster; everything after the script goes to `pgmif train`.
#
#   sbatch --nodes 2 --gpus-per-node 4 scripts/train_slurm.sh pgmif --profile paper --set device=cuda
#
# PROCESSES_PER_NODE: the GPUs of a node if not given. DRY_RUN=1 prints the command and ends.
# Patients must have been preprocessed (make reproduce ARGS="-- --until preprocessing"). A job that is
# killed or runs out of time goes on from its last checkpoint when it is submitted again.
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
set -euo pipefail

if [ -z "${SLURM_JOB_NODELIST:-}" ] || [ $# -eq 0 ]; then
    echo "usage: sbatch --nodes N scripts/train_slurm.sh METHOD [options of pgmif train]" >&2
    exit 2
fi
cd "$SLURM_SUBMIT_DIR"
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
command=(
    srun .venv/bin/python -m torch.distributed.run
    --nnodes "$SLURM_NNODES" --nproc-per-node "${PROCESSES_PER_NODE:-${SLURM_GPUS_ON_NODE:-1}}"
    --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "${hosts[0]}:$((20000 + SLURM_JOB_ID % 20000))"
    -m pgmif train "$@"
)
if [ -n "${DRY_RUN:-}" ]; then
    echo "${command[*]}"
    exit
fi
exec "${command[@]}"
