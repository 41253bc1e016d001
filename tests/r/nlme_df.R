# nlme's inner-outer denominator df, by coefficient and by term: tests/golden/topics/nlme_df.json.

source("tests/r/common.R")
suppressPackageStartupMessages(library(nlme))

# formula: the same model in lme4's language, as mixedfast takes it.
nested <- function(data, fixed, random, formula) list(data = data, fixed = fixed, random = random, formula = formula)

cases <- list(
  orthodont_intercept = nested("orthodont", distance ~ age * Sex, ~ 1 | Subject,
                               "distance ~ age * Sex + (1 | Subject)"),
  orthodont_slope = nested("orthodont", distance ~ age * Sex, ~ age | Subject,
                           "distance ~ age * Sex + (age | Subject)"),
  oats_split = nested("oats", yield ~ nitro * Variety, ~ 1 | Block / Variety,
                      "yield ~ nitro * Variety + (1 | Block/Variety)"),
  oats_factor = nested("oats", yield ~ factor(nitro) * Variety, ~ 1 | Block / Variety,
                       "yield ~ C(nitro) * Variety + (1 | Block/Variety)"),
  pixel = nested("pixel", pixel ~ day + I(day^2), list(Dog = ~ day, Side = ~ 1),
                 "pixel ~ day + I(day**2) + (day | Dog) + (1 | Dog:Side)"),
  machines_nested = nested("machines", score ~ Machine, ~ 1 | Worker / Machine,
                           "score ~ Machine + (1 | Worker/Machine)"),
  machines_slope = nested("machines", score ~ Machine, ~ Machine | Worker, "score ~ Machine + (Machine | Worker)"),
  hsb_seed = nested("hsb", math ~ ses, ~ ses | school, "math ~ ses + (ses | school)"),
  hsb_crosslevel = nested("hsb", math ~ ses * (mean_ses + sector), ~ ses | school,
                          "math ~ ses * (mean_ses + sector) + (ses | school)"),
  hsb_no_intercept = nested("hsb", math ~ 0 + sector + ses, ~ 1 | school, "math ~ 0 + sector + ses + (1 | school)"),
  classes_nested = nested("classes", y ~ x * z, ~ 1 | school / class, "y ~ x * z + (1 | school/class)"),
  growth_nested = nested("growth", y ~ year, ~ 1 | school / child, "y ~ year + (1 | school/child)"),
  trial_interaction = nested("trial", y ~ drug * sex + x, ~ 1 | block, "y ~ drug * sex + x + (1 | block)")
)

degrees <- function(case) {
  rows <- load_frame(case$data)
  m <- do.call(lme, list(case$fixed, data = rows, random = case$random, control = lmeControl(opt = "optim")))
  list(dataset = case$data, formula_py = case$formula,
       coefficients = as.list(m$fixDF$X), terms = as.list(m$fixDF$terms))
}

write_golden(lapply(cases, degrees), "topics", "nlme_df.json")
