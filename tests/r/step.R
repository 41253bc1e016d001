# Backward elimination by step of lmerTest: tests/golden/topics/step.json.
# The last random term is never eliminated in these models, because mixedfast keeps it.

source("tests/r/common.R")

data <- transform(lme4::sleepstudy,
  z = sin(1:180), w = cos(7 * (1:180)), f = rep(c("a", "b", "c"), 60),
  h = factor(rep(1:9, 20))
)
formulas <- c(
  "Reaction ~ Days*f + z + w + (Days + z | Subject)",
  "Reaction ~ Days + z:w + z + w + (Days | Subject) + (1 | h)",
  "Reaction ~ Days*z*w + (0 + f | Subject)"
)

eliminated <- function(formula) {
  model <- lmer(as.formula(formula), data, control = lmerControl(optCtrl = list(ftol_abs = 1e-12, xtol_abs = 1e-10)))
  found <- step(model)
  table <- function(one) records(as.data.frame(one))
  list(formula = formula, random = table(found$random), fixed = table(found$fixed),
       model = paste(deparse(formula(attr(found, "model"))), collapse = " "))
}

write_golden(lapply(formulas, eliminated), "topics", "step.json")
