# The child process of worker.py, in R: Rscript benchmarks/worker.R ADAPTER TASK,TASK TOY_TABLE TABLE
arguments <- commandArgs(trailingOnly = TRUE)
here <- file.path(getwd(), "benchmarks")
source(file.path(here, "libraries", "common.R"))
source(file.path(here, "libraries", arguments[1]))

say <- function(...) {
  cat("@benchmark ", jsonlite::toJSON(list(...), auto_unbox = TRUE, digits = NA, null = "null"), "\n", sep = "")
  flush(stdout())
}

options(warn = -1)
table <- read_table(arguments[4])
toy <- read_table(arguments[3])
for (task in strsplit(arguments[2], ",")[[1]]) run(toy$model, prepare(toy$model, toy$frame), task)
data <- prepare(table$model, table$frame)
say(ready = TRUE, blas = I(paste(basename(extSoftVersion()[["BLAS"]]), "(R)")))
orders <- file("stdin", open = "r")
while (length(task <- readLines(orders, n = 1)) == 1) {
  gc()
  seconds <- cpu <- numeric(0)
  while (sum(seconds) < 0.05) {  # a burst, as in worker.py
    start <- Sys.time()
    start_cpu <- sum(proc.time()[1:2])
    fitted <- run(table$model, data, task)
    seconds <- c(seconds, as.numeric(difftime(Sys.time(), start, units = "secs")))
    cpu <- c(cpu, sum(proc.time()[1:2]) - start_cpu)
  }
  do.call(say, c(list(seconds = median(seconds), cpu = median(cpu)), answers(table$model, fitted)))
  rm(fitted)
}
