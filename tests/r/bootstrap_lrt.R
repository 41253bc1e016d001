# Likelihood-ratio tests by parametric bootstrap, PBmodcomp of pbkrtest:
# tests/golden/topics/bootstrap_lrt.json.

source("tests/r/common.R")

data <- droplevels(subset(lme4::sleepstudy, as.integer(Subject) <= 6))
data <- transform(data, z = sin(seq_len(nrow(data))))
pairs <- list(
  c("Reaction ~ 1 + (Days | Subject)", "Reaction ~ Days + (Days | Subject)"),
  c("Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + z + (1 | Subject)"),
  c("Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days | Subject)")
)

compared <- function(pair) {
  set.seed(1)
  small <- lmer(as.formula(pair[1]), data, REML = FALSE)
  large <- lmer(as.formula(pair[2]), data, REML = FALSE)
  test <- suppressMessages(suppressWarnings(PBmodcomp(large, small, nsim = 4000)))$test
  list(small = pair[1], large = pair[2], lrt = test$stat[1], p = test$p.value[2], n = 4000)
}

write_golden(lapply(pairs, compared), "topics", "bootstrap_lrt.json")
