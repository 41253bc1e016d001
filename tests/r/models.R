# Every model of the referee: the first sixteen, and the cases added here.
# formula: R's syntax. py: the same model for mixedfast, when it is written otherwise.
# df_like: lmerTest differentiates numerically with steps and cut-offs that do not follow the scale
# of y, so its df are wrong when sigma is near 1e6 or 1e-6. The df of the named model are right there.

model <- function(data, formula, REML = TRUE, weights = NULL, contrasts = NULL, py = formula, profile = FALSE,
                  df_like = NULL) {
  list(data = data, formula = formula, REML = REML, weights = weights, contrasts = contrasts, py = py,
       profile = profile, df_like = df_like)
}

originals <- list(
  dyestuff = model("dyestuff", "Yield ~ 1 + (1 | Batch)", profile = TRUE),
  dyestuff2 = model("dyestuff2", "Yield ~ 1 + (1 | Batch)"),
  penicillin = model("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", profile = TRUE),
  pastes = model("pastes", "strength ~ 1 + (1 | batch/cask)", profile = TRUE),
  sleepstudy = model("sleepstudy", "Reaction ~ Days + (Days | Subject)", profile = TRUE),
  sleepstudy_ml = model("sleepstudy", "Reaction ~ Days + (Days | Subject)", REML = FALSE, profile = TRUE),
  sleepstudy_zerocorr = model("sleepstudy", "Reaction ~ Days + (Days || Subject)", profile = TRUE),
  cake = model("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)"),
  hsb_null = model("hsb", "math ~ 1 + (1 | school)"),
  hsb_seed = model("hsb", "math ~ 1 + ses + (1 + ses | school)"),
  hsb_seed_ml = model("hsb", "math ~ 1 + ses + (1 + ses | school)", REML = FALSE),
  hsb_uncorrelated = model("hsb", "math ~ ses + (ses || school)"),
  hsb_crosslevel = model("hsb", "math ~ ses * (mean_ses + sector) + (ses | school)"),
  hsb_factors = model("hsb", "math ~ ses + minority + sex + sector + (ses + sex | school)"),
  insteval = model("insteval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)"),
  insteval_ml = model("insteval", "y ~ 1 + service * dept + (1 | s) + (1 | d)", REML = FALSE)
)

extras <- list(
  # one grouping factor
  clinics_intercept = model("clinics", "y ~ x + z + (1 | g)", profile = TRUE),
  clinics_intercept_ml = model("clinics", "y ~ x + z + (1 | g)", REML = FALSE),
  clinics_slope = model("clinics", "y ~ x + (x | g)", profile = TRUE),
  clinics_three = model("clinics", "y ~ x + z + (x + z | g)"),
  clinics_three_ml = model("clinics", "y ~ x + z + (x + z | g)", REML = FALSE),
  clinics_uncorrelated = model("clinics", "y ~ x + z + (x + z || g)"),
  clinics_two_terms = model("clinics", "y ~ x + z + (1 | g) + (0 + x | g)"),
  clinics_block_pair = model("clinics", "y ~ x + z + (x | g) + (0 + z | g)"),
  clinics_slope_only = model("clinics", "y ~ x + (0 + x | g)"),
  clinics_weights = model("clinics", "y_w ~ x + f + (x | g)", weights = "w"),
  clinics_weights_ml = model("clinics", "y_w ~ x + f + (x | g)", REML = FALSE, weights = "w"),
  clinics_offset = model("clinics", "y ~ x + f + offset(o) + (1 | g)"),
  clinics_rank = model("clinics", "y ~ x + x_copy + f + (1 | g)"),
  clinics_gaps = model("clinics", "y_gaps ~ x + z_gaps + (x | g)"),
  clinics_log = model("clinics", "log(y) ~ x + I(x^2) + (1 | g)", py = "log(y) ~ x + I(x**2) + (1 | g)"),
  clinics_mega = model("clinics", "y_mega ~ x + (x | g)", df_like = "clinics_slope"),
  clinics_micro = model("clinics", "y_micro ~ x + (x | g)", df_like = "clinics_slope"),
  clinics_factor_slope = model("clinics", "y ~ f + (f | g)"),
  clinics_cell_slope = model("clinics", "y ~ 0 + f + x + (0 + f | g)"),
  clinics_no_intercept = model("clinics", "y ~ 0 + f + x + (1 | g)"),
  clinics_helmert = model("clinics", "y ~ f * x + (1 | g)", contrasts = c(f = "contr.helmert"),
                          py = "y ~ C(f, contr.helmert) * x + (1 | g)"),
  years_intercept = model("years", "y ~ year + (1 | country)"),
  # the edge of the parameter space
  edge_flat = model("edge", "y_flat ~ x + (1 | g)"),
  edge_flat_slope = model("edge", "y_flat ~ x + (x | g)"),
  edge_line = model("edge", "y_line ~ x + (x | g)"),
  edge_fan = model("edge", "y_fan ~ x + (x || g)"),
  # factors and interactions
  trial_interaction = model("trial", "y ~ drug * sex + x + (1 | block)", profile = TRUE),
  trial_additive = model("trial", "y ~ drug + sex + x + (1 | block)"),
  trial_threeway = model("trial", "y ~ drug * sex * x + (1 | block)"),
  trial_sum = model("trial", "y ~ drug * sex + x + (1 | block)", contrasts = c(drug = "contr.sum", sex = "contr.sum"),
                    py = "y ~ C(drug, contr.sum) * C(sex, contr.sum) + x + (1 | block)"),
  trial_ml = model("trial", "y ~ drug * sex + x + (1 | block)", REML = FALSE),
  # crossed
  words_crossed = model("words", "y ~ x + cond * age + (1 | subject) + (1 | item)", profile = TRUE),
  words_crossed_ml = model("words", "y ~ x + cond * age + (1 | subject) + (1 | item)", REML = FALSE),
  words_slopes = model("words", "y ~ x + cond * age + (x | subject) + (cond | item)"),
  words_weights = model("words", "y ~ x + cond * age + (x | subject) + (1 | item)", weights = "w"),
  # nested
  classes_nested = model("classes", "y ~ x + z + (1 | school/class)", profile = TRUE),
  classes_slope = model("classes", "y ~ x * z + (x | school) + (1 | school:class)"),
  growth_curves = model("growth", "y ~ year + (year | child) + (year | school)"),
  exams_type = model("exams", "y ~ intake + sex + type + (intake | school)"),
  # lme4's own optimizer stops at a false edge here (golden hsb_factors: 46412.98); this is the optimum
  hsb_factors_best = model("hsb", "math ~ ses + minority + sex + sector + (ses + sex | school)"),
  # published tables
  orthodont_intercept = model("orthodont", "distance ~ age * Sex + (1 | Subject)", profile = TRUE),
  orthodont_slope = model("orthodont", "distance ~ age * Sex + (age | Subject)"),
  oats_split = model("oats", "yield ~ nitro * Variety + (1 | Block/Variety)", profile = TRUE),
  machines_nested = model("machines", "score ~ Machine + (1 | Worker/Machine)", profile = TRUE),
  machines_full = model("machines", "score ~ Machine + (0 + Machine | Worker)"),
  # what the cases above leave out: sum contrasts, weights and interactions in crossed and three-level models
  words_sum = model("words", "y ~ cond * age * x + (1 | subject) + (1 | item)",
                    contrasts = c(cond = "contr.sum", age = "contr.sum"),
                    py = "y ~ C(cond, contr.sum) * C(age, contr.sum) * x + (1 | subject) + (1 | item)"),
  words_cond_weights = model("words", "y ~ cond * age + x + (cond | subject) + (1 | item)", weights = "w"),
  words_slope_only = model("words", "y ~ x + age + (0 + x | subject) + (1 | item)", profile = TRUE),
  classes_both_slopes = model("classes", "y ~ x * z + (x | school) + (x | school:class)"),
  classes_nested_ml = model("classes", "y ~ x * z + (1 | school/class)", REML = FALSE, profile = TRUE),
  growth_curved = model("growth", "y ~ year + I(year^2) + (year | child) + (1 | school)",
                        py = "y ~ year + I(year**2) + (year | child) + (1 | school)"),
  trial_covariates = model("trial", "y ~ drug * x + x * sex + (x | block)"),
  trial_covariates_sum = model("trial", "y ~ drug * x + x * sex + (x | block)",
                               contrasts = c(drug = "contr.sum", sex = "contr.sum"),
                               py = "y ~ C(drug, contr.sum) * x + x * C(sex, contr.sum) + (x | block)"),
  exams_cells = model("exams", "y ~ intake + sex * type + (intake | school)"),
  clinics_sum = model("clinics", "y ~ f * x + (x | g)", contrasts = c(f = "contr.sum"),
                      py = "y ~ C(f, contr.sum) * x + (x | g)"),
  clinics_slope_weights = model("clinics", "y_w ~ x * f + (0 + x | g)", weights = "w"),
  orthodont_slope_only = model("orthodont", "distance ~ age * Sex + (0 + age | Subject)", profile = TRUE),
  # polynomial contrasts, which R gives to ordered factors by itself
  cake_poly = model("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)", contrasts = c(temperature = "contr.poly"),
                    py = "angle ~ recipe * C(temperature, contr.poly) + (1 | recipe:replicate)"),
  trial_poly = model("trial", "y ~ drug * sex + x + (x | block)", contrasts = c(drug = "contr.poly", sex = "contr.helmert"),
                     py = "y ~ C(drug, contr.poly) * C(sex, contr.helmert) + x + (x | block)"),
  # True and False are a factor of two levels
  visits_flag = model("visits", "y ~ first * x + (0 + first | clinic)"),
  visits_cells = model("visits", "y ~ 0 + first + first:x + (first | clinic)", REML = FALSE)
)

models <- c(originals, extras)
