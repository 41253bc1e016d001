# The criterion and its parts at fixed theta, where no optimizer has a say: tests/golden/topics/fixed_theta.json.

source("tests/r/common.R")
source("tests/r/models.R")

# `lower` is 0 where theta is a diagonal element of lambda, -Inf elsewhere.
trial_points <- function(lower) {
  diagonal <- lower == 0
  list(
    identity = as.numeric(diagonal),
    zero = numeric(length(lower)),
    inside = ifelse(diagonal, seq(0.3, 0.9, length.out = length(lower)), 0.15),
    wide = ifelse(diagonal, 4, -1)
  )
}

at_theta <- function(theta, criterion) {
  value <- criterion(theta)
  state <- environment(criterion)
  pwrss <- state$resp$wrss() + state$pp$sqrL(1)
  p <- ncol(state$pp$X)
  n <- length(state$resp$y)
  reml <- state$resp$REML > 0
  beta <- state$pp$beta(1)
  names(beta) <- colnames(state$pp$X)
  list(theta = I(theta), criterion = value, fixef = as.list(beta), sigma = sqrt(pwrss / if (reml) n - p else n),
       ldL2 = state$pp$ldL2(), ldRX2 = state$pp$ldRX2(), pwrss = pwrss)
}

points_of <- function(model) {
  criterion <- fit_model(model, devFunOnly = TRUE)
  lapply(trial_points(environment(criterion)$lower), at_theta, criterion)
}

write_golden(lapply(models, points_of), "topics", "fixed_theta.json")
