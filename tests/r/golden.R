# The extra models, one JSON a model: tests/golden/<name>.json.
# Rscript tests/r/golden.R [name ...]          the extra models, or those named
# The first sixteen were made before this script with the same calls; naming one makes it again.

source("tests/r/common.R")
source("tests/r/models.R")

# ---- pieces, each a pure function of the fit ------------------------------------------------

random_effects <- function(m) {
  lapply(ranef(m, condVar = FALSE), function(b) {
    b <- as.data.frame(b)
    list(levels = I(head(rownames(b), 5)), names = I(colnames(b)), values = rows_of(head(b, 5)),
         sumsq = I(unname(colSums(b^2))))
  })
}

# All terms of a group together, so the covariance between uncorrelated terms is there as well.
conditional_covariance <- function(m) {
  joint <- sigma(m)^2 * conditional_shape(m)
  lapply(first_level(m), function(at) rows_of(joint[at, at, drop = FALSE]))
}

# Lambda (Lambda' Z' W Z Lambda + I)^-1 Lambda', dense; the fixed effects held at their estimates.
conditional_shape <- function(m) {
  lambda <- as.matrix(getME(m, "Lambda"))
  ZL <- sqrt(weights(m)) * as.matrix(getME(m, "Z")) %*% lambda
  lambda %*% solve(crossprod(ZL) + diag(ncol(ZL)), t(lambda))
}

covariance_table <- function(m) {
  table <- as.data.frame(VarCorr(m))
  lapply(seq_len(nrow(table)), function(i) as.list(table[i, , drop = FALSE]))
}

anova_table <- function(m, type, ddf) records(anova(m, type = type, ddf = ddf))

kenward_roger <- function(m) {
  list(coefs_kr = records(coef(summary(m, ddf = "Kenward-Roger"))),
       anova_kr = anova_table(m, "III", "Kenward-Roger"),
       anova_kr_II = anova_table(m, "II", "Kenward-Roger"),
       anova_kr_I = anova_table(m, "I", "Kenward-Roger"),
       vcov_adj = rows_of(vcovAdj(m)))
}

# Nakagawa & Schielzeth (2013), Johnson (2014): the variance of the fixed part is the sample variance
# of X beta-hat (divisor n - 1); a random term counts the mean over rows of z' Sigma z.
variance_shares <- function(m) {
  fixed <- var(drop(getME(m, "X") %*% fixef(m)))
  lambda <- getME(m, "Lambda")
  z <- getME(m, "Z") %*% lambda
  random <- sigma(m)^2 * sum(z^2) / nrow(z)
  residual <- sigma(m)^2
  list(var_fixed = fixed, var_random = random, var_residual = residual,
       icc_adjusted = random / (random + residual),
       icc_unadjusted = random / (fixed + random + residual),
       r2_marginal = fixed / (fixed + random + residual),
       r2_conditional = (fixed + random) / (fixed + random + residual))
}

# Largest derivative of the criterion over the parameters that are not at a bound.
remaining_gradient <- function(m) {
  theta <- unname(getME(m, "theta"))
  free <- theta > getME(m, "lower") + 1e-4
  if (!any(free)) return(0)
  criterion <- update(m, devFunOnly = TRUE)
  max(abs(numDeriv::grad(function(x) criterion(replace(theta, free, x)), theta[free])))
}

profile_rows <- function(m) {
  table <- confint(m, method = "profile", oldNames = FALSE, optimizer = "bobyqa",
                   control = list(rhoend = 1e-10), quiet = TRUE)
  lapply(seq_len(nrow(table)), function(i) {
    list(`2.5 %` = table[i, 1], `97.5 %` = table[i, 2], term = rownames(table)[i])
  })
}

satterthwaite <- function(m) {
  list(coefs = records(coef(summary(m))),
       anova_satterthwaite_III = anova_table(m, "III", "Satterthwaite"),
       anova_satterthwaite_II = anova_table(m, "II", "Satterthwaite"),
       anova_satterthwaite_I = anova_table(m, "I", "Satterthwaite"),
       drop1 = records(drop1(m)))
}

# ---- the record of a model --------------------------------------------------------------------

SMALL <- 3000  # pbkrtest works with dense n by n matrices

golden_record <- function(id, model) {
  m <- fit_model(model)
  record <- list(
    id = id, dataset = model$data, formula = model$formula, formula_py = model$py, REML = model$REML,
    weights = model$weights, contrasts = if (is.null(model$contrasts)) "contr.treatment" else as.list(model$contrasts),
    nobs = nobs(m), ngrps = as.list(ngrps(m)), theta = I(unname(getME(m, "theta"))), sigma = sigma(m),
    fixef = as.list(fixef(m)), vcov = rows_of(as.matrix(vcov(m))),
    criterion = if (model$REML) REMLcrit(m) else -2 * as.numeric(logLik(m)),
    gradient = remaining_gradient(m),
    logLik = as.numeric(logLik(m)), df = attr(logLik(m), "df"), AIC = AIC(m), BIC = BIC(m),
    varcorr = covariance_table(m), singular = isSingular(m),
    ranova = records(ranova(m)),
    variance_shares = variance_shares(m),
    ranef = random_effects(m), condvar = conditional_covariance(m),
    fitted_head = I(unname(head(fitted(m), 8))), resid_ss = sum(resid(m)^2), hat_head = I(unname(head(hatvalues(m), 8)))
  )
  if (is.null(model$df_like)) record <- c(record, satterthwaite(m)) else record$df_like <- model$df_like
  if (is.null(model$weights) && model$REML && nobs(m) <= SMALL) record <- c(record, kenward_roger(m))
  if (model$profile) record$profile_ci <- profile_rows(m)
  record
}

wanted <- commandArgs(trailingOnly = TRUE)
for (id in if (length(wanted)) wanted else names(extras)) {
  write_golden(golden_record(id, models[[id]]), paste0(id, ".json"))
}
