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
  exams_type = question(models$exams_type, "type")
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
       pairs = sapply(c("tukey", "holm", "none"), pair_rows, means = means, simplify = FALSE))
}

record <- function(question) {
  m <- fit_model(question$model)
  ddfs <- c("satterthwaite", if (question$kr) "kenward-roger")
  list(dataset = question$model$data, formula_py = question$model$py, specs = I(question$specs),
       by = question$by, at = if (!is.null(question$at)) lapply(question$at, I), weights = question$weights,
       ddf = sapply(ddfs, answer, m = m, question = question, simplify = FALSE))
}

write_golden(lapply(questions, record), "topics", "emmeans.json")
