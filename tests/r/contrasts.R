# Contrasts, slopes, weights, nested factors, response scale and letters of marginal means:
# tests/golden/topics/contrasts.json.

source("tests/r/common.R")
source("tests/r/models.R")
suppressPackageStartupMessages({
  library(emmeans)
  library(multcomp)
})
emm_options(lmerTest.limit = 10000, pbkrtest.limit = 3000)

plain_rows <- function(table) {
  frame <- as.data.frame(table)
  lapply(seq_len(nrow(frame)), function(i) {
    lapply(as.list(frame[i, , drop = FALSE]), function(v) if (is.factor(v)) as.character(v) else v)
  })
}

shown <- function(contrasts, adjust) plain_rows(summary(contrasts, adjust = adjust, infer = c(TRUE, TRUE)))

# One table: the question in the words of mixedfast, and R's rows.
table_of <- function(ask, means, contrasts, adjust) list(ask = ask, rows = shown(contrasts, adjust))

sets <- function(e) list(
  table_of(list(method = "pairwise", adjust = "tukey"), e, contrast(e, "pairwise"), "tukey"),
  table_of(list(method = "pairwise", adjust = "scheffe"), e, contrast(e, "pairwise"), "scheffe"),
  table_of(list(method = "pairwise", adjust = "fdr"), e, contrast(e, "pairwise"), "fdr"),
  table_of(list(method = "control", adjust = "dunnett"), e, contrast(e, "trt.vs.ctrl"), "mvt"),
  table_of(list(method = "control", adjust = "holm"), e, contrast(e, "trt.vs.ctrl", ref = 1), "holm"),
  table_of(list(method = "consecutive", adjust = "mvt"), e, contrast(e, "consec"), "mvt"),
  table_of(list(method = "poly", adjust = "none"), e, contrast(e, "poly"), "none"),
  table_of(list(method = "eff", adjust = "fdr"), e, contrast(e, "eff"), "fdr")
)

case <- function(model, specs, by = NULL, ddf = "satterthwaite", weights = "equal", trend = NULL, at = NULL,
                 type = "link", more = function(e) sets(e)) {
  m <- fit_model(model)
  e <- if (is.null(trend)) {
    emmeans(m, specs, by = by, lmer.df = ddf, weights = weights, at = at, data = rows,
            type = if (type == "link") "lp" else "response")
  } else {
    emtrends(m, specs, var = trend, by = by, lmer.df = ddf, at = at, data = rows, delta.var = 1e-7)
  }
  list(dataset = model$data, formula = model$py, specs = I(specs), by = by, ddf = ddf, weights = weights,
       trend = trend, at = if (!is.null(at)) lapply(at, I), type = type,
       means = plain_rows(summary(e, infer = c(TRUE, FALSE))), tables = more(e))
}

pairs_only <- function(e) list(table_of(list(method = "pairwise", adjust = "tukey"), e, pairs(e), "tukey"))
together <- function(e) list(
  table_of(list(method = "pairwise", adjust = "bonferroni", family = "all"), e, rbind(pairs(e)), "bonferroni"),
  table_of(list(method = "pairwise", adjust = "mvt", family = "all"), e, rbind(pairs(e)), "mvt"),
  table_of(list(method = "pairwise", adjust = "tukey", by = list()), e, pairs(e, by = NULL), "tukey"))
crossed <- function(e) list(
  table_of(list(method = "interaction", adjust = "none"), e, contrast(e, interaction = "pairwise"), "none"),
  table_of(list(method = I(c("pairwise", "poly")), adjust = "none"), e,
           contrast(e, interaction = c("pairwise", "poly")), "none"),
  table_of(list(method = "pairwise", adjust = "tukey", simple = "recipe"), e, pairs(e, simple = "recipe"), "tukey"),
  table_of(list(method = "consecutive", adjust = "mvt", simple = "temperature"), e,
           contrast(e, "consec", simple = "temperature"), "mvt"))

log_cake <- model("cake", "log(angle) ~ recipe * temperature + (1 | recipe:replicate)")
sqrt_cake <- model("cake", "sqrt(angle) ~ recipe * temperature + (1 | recipe:replicate)")
shifted <- model("cake", "log(angle + 5) ~ recipe * temperature + (1 | recipe:replicate)")
slopes <- model("clinics", "y ~ f * x + z + (1 | g)")
curved <- model("clinics", "y ~ f * x + I(x^2) + z + (1 | g)", py = "y ~ f * x + I(x**2) + z + (1 | g)")

cases <- list(
  cake_temperature = case(models$cake, "temperature"),
  cake_by_recipe = case(models$cake, "temperature", by = "recipe", more = together),
  cake_crossed = case(models$cake, c("recipe", "temperature"), more = crossed),
  cake_kenward_roger = case(models$cake, "recipe", ddf = "kenward-roger"),
  trial_asymptotic = case(models$trial_interaction, "drug", ddf = "asymptotic"),
  trial_one = case(models$trial_interaction, "1", more = function(e) list()),
  log_temperature = case(log_cake, "temperature", type = "response"),
  log_link = case(log_cake, "temperature", by = "recipe", more = pairs_only),
  sqrt_temperature = case(sqrt_cake, "temperature", type = "response", more = function(e) list()),
  shifted_temperature = case(shifted, "temperature", type = "response", more = function(e) list()),
  slopes = case(slopes, "f", trend = "x", more = pairs_only),
  slopes_overall = case(slopes, "1", trend = "x", more = function(e) list()),
  slopes_curved = case(curved, c("f", "x"), trend = "x", at = list(x = c(-1, 0.5)), more = pairs_only)
)
for (w in c("proportional", "outer", "cells", "flat")) {
  cases[[paste0("trial_", w)]] <- case(models$trial_interaction, "drug", weights = w, more = pairs_only)
}

# Nested fixed factors: five sites in one region and three in the other; the rows are kept here.
set.seed(7)
nested <- expand.grid(site = paste0("s", 0:7), tr = c("A", "B"), k = 1:6, stringsAsFactors = TRUE)
nested$region <- factor(ifelse(nested$site %in% paste0("s", 0:4), "N", "S"))
nested$plot <- factor(paste0(nested$site, "_", (nested$k - 1) %/% 2))
nested$y <- round(5 + rnorm(nlevels(nested$plot))[nested$plot] + (nested$tr == "B") + rnorm(nrow(nested)), 3)
nested <- nested[-c(1, 2, 3, 40, 41), ]
ask_nested <- function(formula, specs, by = NULL, weights = "equal") {
  rows <<- nested
  m <- lmerTest::lmer(as.formula(paste("y ~", formula, "+ (1 | plot)")), rows, control = CONTROL)
  e <- emmeans(m, specs, by = by, weights = weights, lmer.df = "satterthwaite")
  list(formula = paste("y ~", formula, "+ (1 | plot)"), specs = I(specs), by = by, weights = weights,
       means = plain_rows(summary(e)), pairs = shown(pairs(e), "tukey"))
}
nest <- list(data = as.list(nested), cases = list(
  ask_nested("tr + region + site", "region"), ask_nested("tr + region + site", "site"),
  ask_nested("tr + region + site", "tr"), ask_nested("tr + region + site", "tr", weights = "proportional"),
  ask_nested("tr + region + site", "region", weights = "cells"), ask_nested("tr * region + site", "tr", by = "region"),
  ask_nested("tr + region + region:site", "region")))

# Letters of multcomp (cld) for all differences by the multivariate t distribution.
cake <- load_frame("cake")
additive <- lm(angle ~ temperature + recipe, cake)
letters_of <- cld(glht(additive, mcp(temperature = "Tukey")), level = 0.05)$mcletters$Letters

write_golden(list(cases = cases, nested = nest, letters = as.list(letters_of)), "topics", "contrasts.json")
