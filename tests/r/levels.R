# nlme's inner-outer df on a design built by arithmetic, for the corners that the data sets do not have:
# columns of one factor at different levels, no intercept, predictors at every level.
# tests/golden/topics/levels.json; tests/inference/test_design_based_df.py builds the same 48 rows.

source("tests/r/common.R")
suppressPackageStartupMessages(library(nlme))

row <- 0:47
rows <- data.frame(site = factor(row %/% 12), plot = factor(row %/% 4))
rows$a <- (row * 7) %% 5                              # varies within plots
rows$z <- (row %/% 4 * 3) %% 7                        # one value a plot
rows$s <- c(1, 2, 5, 4)[row %/% 12 + 1]               # one value a site
rows$one <- as.numeric(row == 30)                     # varies within a single plot
rows$f <- factor(ifelse(row %/% 4 %in% c(2, 5, 6, 10), "c", ifelse(row %% 2 == 0, "a", "b")))  # c has whole plots
rows$y <- (row * 29) %% 17 + (row %/% 4 * 5) %% 7 + rows$s

fixed <- list(y ~ 1, y ~ s + z, y ~ s + z + a, y ~ f + a, y ~ f + one + z, y ~ 0 + s + a, y ~ 0 + s + z + a, y ~ 0 + f)
random <- list("(1 | site)" = ~ 1 | site, "(1 | plot)" = ~ 1 | plot, "(1 | site/plot)" = ~ 1 | site / plot)

cases <- list()
for (part in fixed) {
  for (term in names(random)) {
    m <- do.call(lme, list(part, data = rows, random = random[[term]],
                           control = lmeControl(opt = "optim", returnObject = TRUE)))
    cases[[length(cases) + 1]] <- list(formula = paste(deparse(part), "+", term), df = I(unname(m$fixDF$X)))
  }
}
write_golden(cases, "topics", "levels.json")
