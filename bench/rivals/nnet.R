# Trains R's nnet from given weights. nnet.py writes the numbers and reads what comes out:
#
#   Rscript nnet.R folder n_rows n_inputs n_hidden n_starts max_iter goal least_seconds
#
# reads x, y (n_rows, by columns) and starts (one after the other) from the folder, float64, and
# writes for every start: seconds of a call, sum of squares, iterations to the goal, weights.

library(nnet)

arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
settings <- as.numeric(arguments[-1])
names(settings) <- c("rows", "inputs", "hidden", "starts", "max_iter", "goal", "seconds")

numbers <- function(name, n_columns) {
  path <- file.path(folder, name)
  matrix(readBin(path, "double", file.size(path) / 8), ncol = n_columns)
}
x <- numbers("x", settings["inputs"])
y <- numbers("y", 1)
starts <- numbers("starts", settings["starts"])

train <- function(start, max_iter) {
  nnet.default(x, y,
    size = settings["hidden"], linout = TRUE, Wts = start, decay = 0, maxit = max_iter,
    abstol = settings["goal"], reltol = 0, trace = FALSE, MaxNWts = 100000
  )
}

cpu <- function() sum(proc.time()[c("user.self", "sys.self")])

# CPU seconds of a call, from so many in a row that the clock does not matter.
seconds <- function(start) {
  n <- 1
  repeat {
    since <- cpu()
    for (i in seq_len(n)) train(start, settings["max_iter"])
    taken <- cpu() - since
    if (taken >= settings["seconds"]) return(taken / n)
    n <- ceiling(n * min(max(1.2 * settings["seconds"] / taken, 2), 100))
  }
}

# Iterations until the goal, which nnet does not tell: it makes maxit - 1 of them, one at least.
iterations <- function(start, value) {
  if (value > settings["goal"]) return(NA)
  low <- 1
  high <- settings["max_iter"]
  while (high - low > 1) {
    middle <- (low + high) %/% 2
    if (train(start, middle)$value <= settings["goal"]) high <- middle else low <- middle
  }
  high - 1
}

results <- apply(starts, 2, function(start) {
  fit <- train(start, settings["max_iter"])
  c(seconds(start), fit$value, iterations(start, fit$value), fit$wts)
})
writeBin(as.double(results), file.path(folder, "results"))
