--- Which of the processes of a job this one is. gan.mpi sets it; the parts of the library that work
-- otherwise in a job look here. Alone, a process is rank 0 of 1, and `job` is nil.
--
--   rank, size   this process, from 0, and how many there are
--   writer       whether it writes the files of a run and prints
--   sync_norm    batch normalisation uses the statistics of the whole batch
--   part         within a step: how much of the batch is this rank's, from 0 to 1
--   job          gan.debug.job while there is a job: sums over the ranks

local ranks = { rank = 0, size = 1, writer = true, sync_norm = false,
  part = nil, job = nil }

--- The rows of this rank in a batch of `total`: first and last. Shares follow each other in the
-- order of the ranks, and differ by one row at most.
function ranks.share(total, rank, size)
  return total * rank // size + 1, total * (rank + 1) // size
end

return ranks
