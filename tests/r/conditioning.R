# Columns of X that others nearly determine: which of them R keeps, and the estimates at lme4's theta.
# tests/golden/topics/conditioning.json and tests/golden/data/nearly.csv.gz.
#
# lme4 takes the coefficients from X'X, which has lost half the digits here; they are computed once more from a QR of the
# whitened X at the theta that lme4 found.

source("tests/r/common.R")

set.seed(20260)
n <- 240
nearly <- data.frame(g = paste0("g", rep(1:12, 20)), year = rep(1950:2009, each = 4),
                     x = round(rnorm(n), 6), z = round(rnorm(n), 6))
nearly$t <- round(100 + (nearly$year - 1950) / 59, 9)
nearly$x2 <- round(nearly$x + 1e-6 * nearly$z, 12)
nearly$y <- round(sin((nearly$year - 1950) / 12) + nearly$x + 0.5 * nearly$z + rep(rnorm(12), 20) + rnorm(n) / 2, 6)
write_data <- gzfile("tests/golden/data/nearly.csv.gz", "w")
write.csv(nearly, write_data, row.names = FALSE, quote = FALSE)
close(write_data)

formulas <- list(
  cubic = "y ~ year + I(year^2) + I(year^3) + (1 | g)",
  cubic_from_zero = "y ~ 0 + year + I(year^2) + I(year^3) + (1 | g)",
  quartic = "y ~ year + I(year^2) + I(year^3) + I(year^4) + (1 | g)",
  narrow = "y ~ 0 + t + I(t^2) + I(t^3) + (1 | g)",
  narrow_quintic = "y ~ t + I(t^2) + I(t^3) + I(t^4) + I(t^5) + (1 | g)",
  twins = "y ~ x + x2 + (1 | g)",
  dependent = "y ~ x + x2 + z + (1 | g)"
)

control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10), calc.derivs = FALSE,
                       check.scaleX = "ignore")

fit <- function(text) {
  m <- suppressMessages(lme4::lmer(as.formula(text), nearly, control = control))
  X <- model.matrix(lme4::nobars(as.formula(text)), nearly)
  kept <- colnames(X) %in% names(lme4::fixef(m))
  V <- diag(n) + as.matrix(crossprod(lme4::getME(m, "Lambdat") %*% lme4::getME(m, "Zt")))
  whiten <- solve(t(chol(V)))
  decomposed <- qr(whiten %*% X[, kept], tol = 0)
  list(formula = text, columns = colnames(X), kept = kept, theta = I(lme4::getME(m, "theta")),
       fixef = as.numeric(qr.coef(decomposed, whiten %*% nearly$y)),
       relative_se = sqrt(diag(chol2inv(qr.R(decomposed)))))
}

write_golden(lapply(formulas, fit), "topics", "conditioning.json")
