# Estimated marginal means and their pairs: tests/golden/topics/emmeans.json.

source("tests/r/common.R")
source("tests/r/models.R")
suppressPackageStartupMessages(library(emmeans))
emm_options(lmerTest.limit = 10000, pbkrtest.limit = 3000)

hsb_plain <- model("hsb", "math ~ ses + minority * sex + sector + (1 | school)")

# `kr` is off where pbkrtest cannot (too many rows).
question <- function(model, specs, by = NULL, at = NULL, weights = "equal", kr = TRUE) {
  list(model = model, specs = specs, by = by, at = at, weights = weights, kr = kr)
}

questions <- list(
  cake_recipe = question(models$cake, "recipe"),
  cake_temperature_by_recipe = question(models$cake, "temperature", by = "recipe"),
  hsb_sector = question(hsb_plain, "sector", kr = FALSE),
  hsb_minority_by_sex = question(hsb_plain, "minority", by = "sex", kr = FALSE),
  hsb_minority_sex_at = question(hsb_plain, c("minority", "sex"), at = list(ses = 0.5), kr = FALSE),
  trial_drug = question(models$trial_interaction, "drug"),
  trial_drug_by_sex = question(models$trial_interaction, "drug", by = "sex"),
  trial_drug_at = question(models$trial_interaction, "drug", at = list(x = 1)),
  trial_cells = question(models$trial_interaction, c("drug", "sex")),
  trial_drug_proportional = question(models$trial_interaction, "drug", weights = "proportional"),
  threeway_drug_at = question(models$trial_threeway, "drug", by = "sex", at = list(x = 1)),
  threeway_lines = question(models$trial_threeway, "drug", by = "x", at = list(x = c(-1, 1))),
  sum_drug = question(models$trial_sum, "drug"),
  sum_sex_by_drug = question(models$trial_sum, "sex", by = "drug"),
  words_cond = question(models$words_slopes, "cond"),
  words_cond_by_age = question(models$words_slopes, "cond", by = "age"),
  oats_variety = question(models$oats_split, "Variety"),
  exams_type = question(models$exams_type, "type"),
  exams_type_at = question(models$exams_type, "type", at = list(intake = c(-1, 0.5, 2))),
  cake_cells = question(models$cake, c("recipe", "temperature"), at = list(temperature = c("175", "225"))),
  oats_lines = question(models$oats_split, "Variety", by = "nitro", at = list(nitro = c(0, 0.3))),
  words_weighted = question(models$words_weights, c("cond", "age"), kr = FALSE),
  words_sum_at = question(models$words_sum, "cond", by = "age", at = list(x = 1.5)),
  clinics_offset = question(models$clinics_offset, "f"),
  clinics_offset_at = question(models$clinics_offset, "f", at = list(x = 0)),
  clinics_square = question(model("clinics", "y ~ f * x + I(x^2) + (1 | g)", py = "y ~ f * x + I(x**2) + (1 | g)"),
                            "f", by = "x", at = list(x = c(-1, 0, 1))),
  clinics_curved = question(model("clinics", "y ~ f * poly(x, 2) + log(z + 3) + (1 | g)"), "f"),
  clinics_curved_at = question(model("clinics", "y ~ f * poly(x, 2) + log(z + 3) + (1 | g)"), "f",
                               at = list(x = 1, z = c(0, 1))),
  machines_pairs = question(models$machines_nested, "Machine"),
  visits_first = question(models$visits_flag, "first"),
  visits_first_at = question(models$visits_flag, "first", by = "x", at = list(x = c(-1, 2)))
)

# The rows of a summary without row names or printing attributes.
plain_rows <- function(table) {
  frame <- as.data.frame(table)
  lapply(seq_len(nrow(frame)), function(i) {
    lapply(as.list(frame[i, , drop = FALSE]), function(v) if (is.factor(v)) as.character(v) else v)
  })
}

pair_rows <- function(means, adjust) plain_rows(summary(pairs(means), adjust = adjust, infer = c(TRUE, TRUE)))

answer <- function(m, question, ddf) {
  means <- emmeans(m, question$specs, by = question$by, at = question$at, weights = question$weights,
                   lmer.df = ddf, data = rows)
  list(means = plain_rows(summary(means, infer = c(TRUE, TRUE))),
       pairs = sapply(c("tukey", "holm", "none", "bonferroni", "sidak"), pair_rows, means = means, simplify = FALSE),
       joint = plain_rows(test(pairs(means), joint = TRUE, by = question$by)))
}

record <- function(question) {
  m <- fit_model(question$model)
  ddfs <- c("satterthwaite", if (question$kr) "kenward-roger")
  list(dataset = question$model$data, formula_py = question$model$py, prior_weights = question$model$weights, specs = I(question$specs),
       by = question$by, at = if (!is.null(question$at)) lapply(question$at, I), weights = question$weights,
       ddf = sapply(ddfs, answer, m = m, question = question, simplify = FALSE))
}

write_golden(lapply(questions, record), "topics", "emmeans.json")
