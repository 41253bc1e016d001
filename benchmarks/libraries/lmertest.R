# lmerTest: Satterthwaite's degrees of freedom of each coefficient.
run <- function(model, frame, task) {
  m <- lmerTest::lmer(as.formula(model$formula), frame, REML = model$reml)
  list(m = m, table = coef(summary(m)))
}
answers <- function(model, fitted) lmer_answers(model, fitted$m, fitted$table[, "Std. Error"], fitted$table[, "df"])
