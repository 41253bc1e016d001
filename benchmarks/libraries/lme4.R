# lme4 as it comes, derivative checks and all.
run <- function(model, frame, task) {
  m <- lme4::lmer(as.formula(model$formula), frame, REML = model$reml)
  list(m = m, se = sqrt(diag(as.matrix(vcov(m)))))
}
answers <- function(model, fitted) lmer_answers(model, fitted$m, fitted$se)
