# pbkrtest, through lmerTest's table of coefficients: Kenward and Roger's standard errors and degrees of freedom.
run <- function(model, frame, task) {
  m <- lmerTest::lmer(as.formula(model$formula), frame, REML = model$reml)
  list(m = m, table = coef(summary(m, ddf = "Kenward-Roger")))
}
answers <- function(model, fitted) lmer_answers(model, fitted$m, fitted$table[, "Std. Error"], fitted$table[, "df"])
