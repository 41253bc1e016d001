# Tests of L beta = rhs, one row at a time and jointly, by both df methods: tests/golden/topics/contests.json.

source("tests/r/common.R")
source("tests/r/models.R")

unit <- function(p, at) as.numeric(seq_len(p) == at)

hypotheses <- list(
  sleepstudy = list(
    both = list(L = diag(2)),
    shifted = list(L = diag(2), rhs = c(250, 10)),
    day_five = list(L = rbind(c(1, 5)), rhs = 300)
  ),
  clinics_three = list(
    slopes = list(L = rbind(unit(3, 2), unit(3, 3))),
    all = list(L = diag(3)),
    sum = list(L = rbind(c(0, 1, 1)))
  ),
  trial_interaction = list(
    drug = list(L = rbind(unit(7, 2), unit(7, 3))),
    interaction = list(L = rbind(unit(7, 6), unit(7, 7))),
    # rank 2: the third row is the sum of the first two
    deficient = list(L = rbind(unit(7, 2), unit(7, 3), unit(7, 2) + unit(7, 3))),
    three = list(L = rbind(unit(7, 2), unit(7, 4), unit(7, 5))),
    cell = list(L = rbind(c(1, 1, 0, 1, 0, 1, 0)))
  ),
  words_slopes = list(
    simple = list(L = rbind(unit(5, 3), unit(5, 3) + unit(5, 5))),
    three = list(L = rbind(unit(5, 2), unit(5, 3), unit(5, 4)))
  ),
  orthodont_slope = list(
    sex = list(L = rbind(unit(4, 3), unit(4, 4))),
    age_fourteen = list(L = rbind(c(0, 0, 1, 14)))
  ),
  clinics_weights = list(
    factor = list(L = rbind(unit(4, 3), unit(4, 4)))
  )
)

# Row by row: contest(joint = FALSE) takes no vector of right-hand sides.
single_rows <- function(m, L, rhs, ddf) {
  lapply(seq_len(nrow(L)), function(i) {
    as.list(contest1D(m, L[i, ], rhs = rhs[i], ddf = ddf, confint = TRUE))
  })
}

test <- function(m, hypothesis, ddf) {
  list(joint = as.list(contestMD(m, hypothesis$L, rhs = hypothesis$rhs, ddf = ddf)),
       single = single_rows(m, hypothesis$L, hypothesis$rhs, ddf))
}

answers <- function(id) {
  m <- fit_model(models[[id]])
  ddfs <- c(satterthwaite = "Satterthwaite",
            if (is.null(models[[id]]$weights)) c(`kenward-roger` = "Kenward-Roger"))
  lapply(hypotheses[[id]], function(hypothesis) {
    if (is.null(hypothesis$rhs)) hypothesis$rhs <- numeric(nrow(hypothesis$L))
    c(list(L = rows_of(hypothesis$L), rhs = I(hypothesis$rhs)), lapply(ddfs, test, m = m, hypothesis = hypothesis))
  })
}

write_golden(sapply(names(hypotheses), answers, simplify = FALSE), "topics", "contests.json")
