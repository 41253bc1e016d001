# Analysis of variance when a cell of two factors is empty: tests/golden/topics/empty_cells.json.

source("tests/r/common.R")

set.seed(3)
rows <- expand.grid(a = letters[1:3], b = LETTERS[1:3], r = 1:6, g = 1:5)
rows <- rows[!(rows$a == "b" & rows$b == "C"), ]
rows <- rows[sample(nrow(rows), 0.8 * nrow(rows)), ]
rows$g <- factor(rows$g)
rows$x <- round(rnorm(nrow(rows)), 3)
rows$y <- round(rnorm(nrow(rows)) + as.integer(rows$a) * as.integer(rows$b) / 4 + rnorm(5)[rows$g] + 0.3 * rows$x, 4)

fit <- function(contrasts) {
  lmerTest::lmer(y ~ a * b + x + (1 | g), rows, control = CONTROL, contrasts = contrasts)
}

tables <- function(m) {
  tests <- show_tests(anova(m, type = "III"))
  list(anova = sapply(c("I", "II", "III"), function(type) records(anova(m, type = type)), simplify = FALSE),
       L = lapply(tests[c("a", "b")], rows_of), drop1 = records(drop1(m)))
}

write_golden(list(
  data = lapply(as.list(rows[c("y", "a", "b", "x", "g")]), function(v) if (is.factor(v)) as.character(v) else v),
  treatment = tables(fit(NULL)),
  mixed = tables(fit(list(a = "contr.sum", b = "contr.helmert")))
), "topics", "empty_cells.json")
