"""Data-parallel training on MPI: every rank reads its rows of the batch, and all take the same step.

    mpiexec -n 4 python train.py

    ranks = nn.distributed.world()                              # one rank without mpiexec
    with nn.distributed.DataParallel(net, head) as parallel:    # from the weights of rank 0
        for xs, ys in batches:                                  # (T, B, I), (B,)
            rows = ranks.rows(len(ys))
            optimizer.zero_grad()
            loss = nn.cross_entropy(head(net(xs[:, rows])[0][-1]), ys[rows])
            loss.backward()
            loss = parallel.average_gradients(loss, len(ys[rows]))
            optimizer.step()

`ranks` says who takes part and how they meet, `data_parallel` what is averaged. Needs mpi4py and an MPI (the package
mpich brings one), both only under mpiexec.
"""

from .data_parallel import DataParallel
from .ranks import MPIError, RankError, Ranks, world

__all__ = ["DataParallel", "MPIError", "RankError", "Ranks", "world"]
