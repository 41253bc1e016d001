# Shared pieces of the referee scripts: reading data, fitting to full precision, writing JSON.
# Run every script from the root of the repository, for example: Rscript tests/r/golden.R

suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(pbkrtest)
  library(jsonlite)
})
options(warn = 1)
invisible(Sys.setlocale("LC_COLLATE", "C"))

GOLDEN <- "tests/golden"
CATEGORICAL <- fromJSON(file.path(GOLDEN, "data", "categorical.json"), simplifyVector = FALSE)

# ---- data ---------------------------------------------------------------------------------

# Levels in numeric order when all are whole numbers, in byte order otherwise; a list in
# categorical.json overrides both.
as_levels <- function(values, levels = NULL) {
  if (is.null(levels)) {
    levels <- unique(values[!is.na(values)])
    whole <- all(grepl("^[0-9]+$", levels))
    levels <- levels[if (whole) order(as.integer(levels)) else order(levels)]
  }
  factor(values, levels = unlist(levels))
}

read_table <- function(name) {
  places <- c(file.path(GOLDEN, "data"), "mixedfast/data/samples")
  path <- Filter(file.exists, file.path(places, paste0(name, ".csv.gz")))[1]
  columns <- CATEGORICAL[[name]]
  frame <- read.csv(path, colClasses = setNames(rep("character", length(columns)), names(columns)))
  for (column in names(columns)) frame[[column]] <- as_levels(frame[[column]], columns[[column]])
  frame
}

load_frame <- function(name) {
  if (name != "hsb") return(read_table(name))
  students <- read_table("hsb_students")
  schools <- read_table("hsb_schools")
  row <- match(as.character(students$school), as.character(schools$school))
  cbind(students, schools[row, setdiff(names(schools), "school")])
}

# ---- fitting to full precision --------------------------------------------------------------

# bobyqa, restarted until it stands still, then Newton steps on the free parameters. The criterion
# is then good to about 1e-10 and theta to about 1e-7, better than bobyqa alone.
polished <- function(fn, par, lower, upper, control) {
  best <- restarted_bobyqa(fn, par, lower, upper)
  best <- to_the_edge(fn, best, lower)
  best <- newton(fn, best, lower)
  value <- fn(best)  # leaves the model's internal state at the optimum
  list(par = best, fval = value, conv = 0, message = "bobyqa, then Newton")
}

restarted_bobyqa <- function(fn, par, lower, upper) {
  value <- fn(par)
  for (radius in c(0.2, 0.2, 0.02, 0.02)) {
    run <- minqa::bobyqa(par, fn, lower, upper,
                         control = list(rhobeg = radius, rhoend = 1e-10, maxfun = 20000))
    if (run$fval < value) par <- run$par
    gain <- value - run$fval
    value <- min(value, run$fval)
    if (gain < 1e-12 && radius < 0.1) break
  }
  par
}

to_the_edge <- function(fn, par, lower) {
  for (i in which(is.finite(lower) & par < lower + 1e-3)) {
    trial <- replace(par, i, lower[i])
    if (fn(trial) <= fn(par) + 1e-10) par <- trial
  }
  par
}

newton <- function(fn, par, lower, steps = 3) {
  free <- par > lower + 1e-4
  if (!any(free)) return(par)
  inner <- function(x) fn(replace(par, free, x))
  for (step in seq_len(steps)) {
    gradient <- numDeriv::grad(inner, par[free])
    parts <- eigen(numDeriv::hessian(inner, par[free]), symmetric = TRUE)
    keep <- parts$values > 1e-7 * max(parts$values)  # a flat direction (singular fit) is left alone
    vectors <- parts$vectors[, keep, drop = FALSE]
    move <- -drop(vectors %*% (crossprod(vectors, gradient) / parts$values[keep]))
    trial <- replace(par, free, par[free] + move)
    if (any(trial < lower) || fn(trial) > fn(par) + 1e-9) break
    par <- trial
  }
  par
}

CONTROL <- lmerControl(optimizer = "polished", calc.derivs = FALSE, check.conv.singular = "ignore",
                       check.rankX = "silent.drop.cols", check.scaleX = "ignore")

# The call is built so that update(), drop1() and lmerTest's own refits can evaluate it again:
# the frame goes by the name `rows`, which lives in the global environment.
fit_model <- function(model, ...) {
  assign("rows", load_frame(model$data), globalenv())
  arguments <- list(quote(lmerTest::lmer), as.formula(model$formula), data = quote(rows),
                    REML = model$REML, control = quote(CONTROL), ...)
  if (!is.null(model$weights)) arguments$weights <- as.name(model$weights)
  if (!is.null(model$contrasts)) arguments$contrasts <- as.list(model$contrasts)
  eval(as.call(arguments), globalenv())
}

# ---- shapes for JSON ------------------------------------------------------------------------

rows_of <- function(m) lapply(seq_len(nrow(m)), function(i) I(unname(as.numeric(m[i, ]))))

# One record a row, as in the first sixteen files: the row's name is the field `term`.
records <- function(table) {
  if (is.null(table) || nrow(table) == 0) return(list())
  frame <- as.data.frame(table)
  lapply(seq_len(nrow(frame)), function(i) c(as.list(frame[i, , drop = FALSE]), term = rownames(frame)[i]))
}

write_golden <- function(value, ...) {
  path <- file.path(GOLDEN, ...)
  dir.create(dirname(path), showWarnings = FALSE)
  text <- toJSON(value, auto_unbox = TRUE, digits = NA, na = "null", null = "null", pretty = 1)
  writeLines(sub("\\s+$", "", text), path)
  message("wrote ", path)
}

# ---- the model in dense form ----------------------------------------------------------------

# Joint covariance of (b, beta-hat) given theta, dense: sigma^2 [Lambda 0; 0 I] M^-1 [Lambda 0; 0 I]'.
joint_covariance <- function(m) {
  X <- getME(m, "X")
  root_w <- sqrt(weights(m))
  Z <- as.matrix(getME(m, "Z") %*% getME(m, "Lambda"))
  q <- ncol(Z)
  D <- root_w * cbind(Z, X)
  M <- crossprod(D)
  M[seq_len(q), seq_len(q)] <- M[seq_len(q), seq_len(q)] + diag(q)
  scale <- as.matrix(Matrix::bdiag(getME(m, "Lambda"), diag(ncol(X))))
  sigma(m)^2 * scale %*% solve(M, t(scale))
}

# Positions in b of the first level of every grouping factor, all its terms together.
first_level <- function(m) {
  terms <- getME(m, "cnms")
  start <- getME(m, "Gp")
  lapply(split(seq_along(terms), factor(names(terms), unique(names(terms)))), function(own) {
    unlist(lapply(own, function(t) start[t] + seq_along(terms[[t]])))
  })
}
