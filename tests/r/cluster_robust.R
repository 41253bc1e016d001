# Cluster-robust covariances of the sleepstudy model by clubSandwich, for
# tests/inference/test_cluster_robust.py: v11, v12, v22, Satterthwaite's df of both coefficients.
suppressMessages({library(lme4); library(clubSandwich)})
m <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy,
          control = lmerControl(optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-14)))
for (kind in c("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")) {
  v <- vcovCR(m, type = kind)
  found <- coef_test(m, vcov = v, test = "Satterthwaite")
  cat(kind, format(c(v[1, 1], v[1, 2], v[2, 2], found$df_Satt), digits = 10), "\n")
}
