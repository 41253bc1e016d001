# Predictions, their standard errors, leverage, influence: tests/golden/topics/everyday.json.
# This lme4 has no se.fit, so standard errors come from the joint covariance of (b, beta-hat) given
# theta, dense (common.R). A group not seen adds its own variance z' Sigma z.

source("tests/r/common.R")
source("tests/r/models.R")

ids <- c("sleepstudy", "penicillin", "pastes", "clinics_weights", "trial_interaction", "words_slopes",
         "growth_curves", "hsb_seed", "cake", "clinics_offset", "words_weights")

# Some of the random effects only: R's re.form.
some_terms <- c(sleepstudy = "(1 | Subject)", pastes = "(1 | batch)", words_weights = "(1 | item)",
                growth_curves = "(year | child) + (1 | school)", penicillin = "(1 | sample)")

short <- function(v) list(head = I(unname(head(v, 10))), sum = sum(v), sumsq = sum(v^2))

# First, middle and last row, the numbers moved a little so that they are new.
new_rows <- function(m) {
  n <- nrow(rows)
  frame <- rows[c(1, n %/% 2, n), , drop = FALSE]
  used <- setdiff(all.vars(formula(m)), all.vars(formula(m)[[2]]))
  frame <- frame[, used, drop = FALSE]
  for (column in used) if (is.numeric(frame[[column]])) frame[[column]] <- frame[[column]] + 0.25
  rownames(frame) <- NULL
  frame
}

# Every grouping factor at a level the fit has not seen; a column that is a predictor too keeps its level.
unseen <- function(m, frame) {
  groups <- unique(unlist(lapply(names(getME(m, "flist")), function(name) strsplit(name, ":")[[1]])))
  for (group in setdiff(groups, all.vars(nobars(formula(m))))) frame[[group]] <- "unseen"
  frame
}

# Model matrices of new rows, the columns of Z in the order of the fit.
new_matrices <- function(m, frame) {
  response <- all.vars(formula(m)[[2]])
  frame[[response]] <- 0
  columns <- all.vars(formula(m))
  stacked <- rbind(rows[, columns], frame[, columns])
  parts <- lFormula(formula(m), stacked, control = CONTROL)
  last <- nrow(rows) + seq_len(nrow(frame))
  list(X = parts$X[last, , drop = FALSE], Z = t(as.matrix(parts$reTrms$Zt))[last, , drop = FALSE])
}

row_variance <- function(A, V) rowSums((A %*% V) * A)

# z' Sigma z of new rows when all their groups are new.
prior_variance <- function(m, Z) {
  lambda <- as.matrix(getME(m, "Lambda"))
  row_variance(Z, sigma(m)^2 * tcrossprod(lambda))
}

predictions <- function(m) {
  frame <- new_rows(m)
  strange <- unseen(m, frame)
  parts <- new_matrices(m, frame)
  fixed <- row_variance(parts$X, as.matrix(vcov(m)))
  list(
    newdata = plain(frame), newdata_unseen = plain(strange),
    conditional = I(unname(predict(m, frame))),
    conditional_se = I(unname(sqrt(row_variance(cbind(parts$Z, parts$X), joint_covariance(m))))),
    population = I(unname(predict(m, frame, re.form = NA))),
    population_se = I(unname(sqrt(fixed))),
    unseen = I(unname(predict(m, strange, allow.new.levels = TRUE))),
    unseen_se = I(unname(sqrt(fixed + prior_variance(m, parts$Z)))),
    random_variance = I(unname(prior_variance(m, parts$Z)))
  )
}

partly <- function(m, id) {
  if (!id %in% names(some_terms)) return(NULL)
  re <- some_terms[[id]]
  frame <- new_rows(m)
  list(re = re, values = I(unname(predict(m, frame, re.form = as.formula(paste("~", re))))),
       rows_used = short(predict(m, re.form = as.formula(paste("~", re)))))
}

# The first two moments of simulated responses: what V = sigma^2 (Z Lambda Lambda'Z' + W^-1) says, at five rows, and what
# R's simulate() gives with new random effects and with those of the fit (means and covariances of 4000 draws).
moments <- function(m) {
  at <- unique(round(seq(1, nobs(m), length.out = 5)))
  Z <- as.matrix((getME(m, "Z") %*% getME(m, "Lambda"))[at, ])
  V <- sigma(m)^2 * (tcrossprod(Z) + diag(1 / weights(m)[at]))
  new <- as.matrix(simulate(m, 4000, seed = 1, re.form = NA)[at, ])
  kept <- as.matrix(simulate(m, 4000, seed = 2, re.form = NULL)[at, ])
  list(rows = I(at - 1), V = rows_of(V), new_mean = I(unname(rowMeans(new))), new_cov = rows_of(cov(t(new))),
       kept_mean = I(unname(rowMeans(kept))), kept_cov = rows_of(cov(t(kept))))
}

# Standard deviations of the principal components of the random effects, relative to sigma.
components <- function(m) lapply(unclass(rePCA(m)), function(part) I(part$sdev))

plain <- function(frame) lapply(as.list(frame), function(v) I(if (is.factor(v)) as.character(v) else v))

everyday <- function(id) {
  m <- fit_model(models[[id]])
  list(
    fitted = short(fitted(m)), population = short(predict(m, re.form = NA)),
    resid = short(resid(m)), resid_pearson = short(resid(m, type = "pearson", scaled = TRUE)),
    hatvalues = short(hatvalues(m)), cooks_distance = short(cooks.distance(m)),
    predict = predictions(m), predict_partly = partly(m, id), simulate = moments(m), rePCA = components(m)
  )
}

# lme4's own functions, which this version has for two coefficients or more; its searches are not polished.
own_influence <- function(m, group) {
  found <- influence(m, groups = group)
  list(dfbeta = rows_of(dfbeta(found)), dfbetas = rows_of(dfbetas(found)), cooks_distance = I(unname(cooks.distance(found))))
}

# Leave one group out: the fixed effects of the rest, and Cook's distance in the metric of vcov(m).
leave_out <- function(id, group) {
  m <- fit_model(models[[id]])
  all_rows <- rows
  levels <- levels(all_rows[[group]])
  fits <- lapply(levels, function(level) {
    assign("rows", droplevels(all_rows[all_rows[[group]] != level, ]), globalenv())
    update(m, data = rows)
  })
  beta <- do.call(rbind, lapply(fits, fixef))
  sds <- do.call(rbind, lapply(fits, function(one) as.data.frame(VarCorr(one), order = "lower.tri")$sdcor))
  assign("rows", all_rows, globalenv())
  change <- sweep(beta, 2, fixef(m))
  cook <- row_variance(change, solve(as.matrix(vcov(m)))) / ncol(beta)
  list(group = group, levels = I(levels), names = I(names(fixef(m))), sdcor = rows_of(sds), fixef = rows_of(beta),
       lme4 = if (ncol(beta) > 1) own_influence(m, group), cooks_distance = I(unname(cook)))
}

record <- sapply(ids, everyday, simplify = FALSE)
record$sleepstudy$influence <- leave_out("sleepstudy", "Subject")
record$trial_interaction$influence <- leave_out("trial_interaction", "block")
record$penicillin$influence <- leave_out("penicillin", "sample")
record$pastes$influence <- leave_out("pastes", "batch")
record$clinics_weights$influence <- leave_out("clinics_weights", "g")
write_golden(record, "topics", "everyday.json")
