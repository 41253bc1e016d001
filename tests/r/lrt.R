# Likelihood-ratio tests of nested models, refitted by ML: tests/golden/topics/lrt.json.

source("tests/r/common.R")
source("tests/r/models.R")

pairs <- list(
  sleepstudy_slope = list(model("sleepstudy", "Reaction ~ Days + (1 | Subject)"), models$sleepstudy),
  trial_interaction = list(models$trial_additive, models$trial_interaction),
  words_slopes = list(models$words_crossed, models$words_slopes),
  clinics_fixed = list(model("clinics", "y ~ x + (x | g)"), model("clinics", "y ~ x + z + f + (x | g)"))
)

compare <- function(pair) {
  assign("small", fit_model(pair[[1]]), globalenv())
  assign("large", fit_model(pair[[2]]), globalenv())
  list(dataset = pair[[1]]$data, formulas = I(c(pair[[1]]$py, pair[[2]]$py)),
       table = records(anova(small, large, refit = TRUE)))
}

write_golden(lapply(pairs, compare), "topics", "lrt.json")
