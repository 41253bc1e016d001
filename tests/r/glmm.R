# Fits the models of tests/golden/glmm again with lme4 and prints the differences from the stored values.
# Rscript tests/r/glmm.R
suppressMessages({library(lme4); library(jsonlite)})
here <- "tests/golden/glmm"
levels_of <- read_json(file.path(here, "data", "categorical.json"), simplifyVector = TRUE)
for (file in list.files(here, "json$", full.names = TRUE)) {
  case <- read_json(file, simplifyVector = TRUE)
  if (!case$family %in% c("binomial", "poisson") || !grepl("lme4", case$engine)) next
  rows <- read.csv(gzfile(file.path(here, "data", paste0(case$dataset, ".csv.gz"))))
  own <- levels_of[[case$dataset]]
  for (name in names(own)) rows[[name]] <- factor(rows[[name]], own[[name]])
  family <- do.call(case$family, list(link = case$link))
  call <- list(as.formula(case$r_formula), data = rows, family = family, nAGQ = case$n_agq,
               control = glmerControl(optimizer = "bobyqa", tolPwrss = 1e-13,
                                      optCtrl = list(rhoend = 1e-9, maxfun = 1e5)))
  if (!is.null(case$weights)) call$weights <- rows[[case$weights]]
  m <- suppressWarnings(do.call(glmer, call))
  cat(sprintf("%-20s deviance %+.1e  theta %.1e  beta %.1e\n", case$id,
              -2 * as.numeric(logLik(m)) - case$deviance,
              max(abs(getME(m, "theta") - case$theta)),
              max(abs(fixef(m) - unlist(case$fixef)))))
}
