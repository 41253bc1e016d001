# The lowest criterion lme4's optimizers find for the models of the torture corpus: tests/torture/r_best.json.
# python tests/torture/export.py FOLDER && Rscript tests/r/torture.R FOLDER

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
folder <- commandArgs(TRUE)[1]
OPTIMIZERS <- c("nloptwrap", "bobyqa", "Nelder_Mead", "nlminbwrap")
SECONDS <- 60

controls <- function(optimizer) {
  lmerControl(optimizer = optimizer, calc.derivs = FALSE, check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore",
              check.nobs.vs.rankZ = "ignore", check.scaleX = "ignore", check.conv.grad = "ignore",
              check.conv.singular = "ignore", check.conv.hess = "ignore")
}

fitted_by <- function(case, data, optimizer) {
  setTimeLimit(elapsed = SECONDS, transient = TRUE)
  on.exit(setTimeLimit())
  tryCatch({
    model <- if (case$weights == "") {
      lmer(as.formula(case$formula), data, REML = case$reml, control = controls(optimizer))
    } else {
      lmer(as.formula(case$formula), data, REML = case$reml, weights = data[[case$weights]], control = controls(optimizer))
    }
    list(criterion = as.numeric(-2 * logLik(model)), theta = unname(getME(model, "theta")), terms = terms_of(getME(model, "cnms")))
  }, error = function(e) list(criterion = NA_real_, theta = NULL, terms = NULL))
}

# Theta's terms in lme4's order, which is not the formula's.
terms_of <- function(cnms) {
  lapply(seq_along(cnms), function(i) list(group = names(cnms)[i], columns = I(cnms[[i]])))
}

best <- list()
for (case in fromJSON(file.path(folder, "cases.json"), simplifyVector = FALSE)) {
  data <- read.csv(file.path(folder, paste0(case$name, ".csv")), stringsAsFactors = TRUE, na.strings = c("NA", ""))
  models <- suppressMessages(suppressWarnings(lapply(OPTIMIZERS, function(o) fitted_by(case, data, o))))
  found <- vapply(models, function(m) m$criterion, numeric(1))
  if (all(is.na(found))) next
  lowest <- which.min(found)
  best[[case$name]] <- list(best = found[lowest], theta = I(models[[lowest]]$theta), terms = models[[lowest]]$terms,
                            optimizer = OPTIMIZERS[lowest], spread = diff(range(found, na.rm = TRUE)), failed = sum(is.na(found)))
}
writeLines(toJSON(best, auto_unbox = TRUE, digits = NA, pretty = TRUE), "tests/torture/r_best.json")
cat(length(best), "models\n")
