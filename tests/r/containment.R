# Hypotheses by SAS's definition of containment, where lmerTest's anova asks others: tests/golden/topics/containment.json.
# Each F is lmerTest's own: lmerTest::contestMD of the L that the definition gives, or the row of another type with the same L.

source("tests/r/common.R")

set.seed(3)
n <- 120
d <- data.frame(g = rep(1:15, each = 8), a = sample(c("p", "q", "r"), n, TRUE), x = round(rnorm(n), 4),
                b = sample(c("u", "v"), n, TRUE))
d$y <- round(rnorm(n) + rnorm(15)[d$g] + d$x * as.integer(factor(d$a)) * 0.3, 4)
f <- transform(d, g = factor(g), a = factor(a), b = factor(b))
row <- function(table, term) list(term = term, F = table[term, "F value"], df = table[term, "DenDF"])
asked <- function(m, term, L) { t <- lmerTest::contestMD(m, L); list(term = term, F = t[["F value"]], df = t[["DenDF"]]) }

poly <- lmerTest::lmer(y ~ poly(x, 2) * a + (1 | g), f)
nested <- lmerTest::lmer(y ~ b + a:b + (1 | g), f)
cells <- lmerTest::lmer(y ~ 0 + a + x:b + (1 | g), f)
contrast <- setNames(rep(0, length(fixef(nested))), names(fixef(nested)))
contrast["bv"] <- 1
contrast[c("bv:aq", "bv:ar")] <- 1 / 3
contrast[c("bu:aq", "bu:ar")] <- -1 / 3
write_golden(list(data = as.list(d), cases = list(
  # a numeric poly(x, 2):a contains poly(x, 2) and not a: a after everything else is its coefficients
  list(formula = "y ~ poly(x, 2)*a + (1 | g)", type = "II",
       rows = list(row(anova(poly, type = 2), "poly(x, 2)"), row(anova(poly, type = 3), "a"), row(anova(poly, type = 3), "poly(x, 2):a"))),
  # a:b contains b: type II is b before it, type III its mean over a
  list(formula = "y ~ b + a:b + (1 | g)", type = "II", rows = list(row(anova(nested, type = 1), "b"), row(anova(nested, type = 3), "b:a"))),
  list(formula = "y ~ b + a:b + (1 | g)", type = "III", rows = list(asked(nested, "b", contrast), row(anova(nested, type = 3), "b:a"))),
  # x:b has a number in it, so it contains no factor and none contains it
  list(formula = "y ~ 0 + a + x:b + (1 | g)", type = "II", rows = list(row(anova(cells, type = 3), "a"), row(anova(cells, type = 3), "x:b")))
)), "topics", "containment.json")
