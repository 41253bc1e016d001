# The made-up tables, tests/golden/data/*.csv.gz, and the published ones taken from nlme.
# Base R's generators only, one seed a table, so that a table can be made again alone.

suppressPackageStartupMessages(library(nlme))
RNGkind("Mersenne-Twister", "Inversion", "Rejection")

FOLDER <- "tests/golden/data"

save_table <- function(frame, name) {
  con <- gzfile(file.path(FOLDER, paste0(name, ".csv.gz")), "w", compression = 9)
  write.csv(frame, con, row.names = FALSE, na = "")
  close(con)
}

labels_of <- function(prefix, n) paste0(prefix, formatC(seq_len(n), width = nchar(n), flag = "0"))

# (n, k) draws with the given covariance.
draw <- function(n, covariance) matrix(rnorm(n * ncol(covariance)), n) %*% chol(covariance)

covariance_of <- function(sd, correlation) {
  r <- diag(length(sd))
  r[upper.tri(r)] <- correlation
  r[lower.tri(r)] <- t(r)[lower.tri(r)]
  diag(sd, length(sd)) %*% r %*% diag(sd, length(sd))
}

# One factor, 30 groups of 2 to 22 rows; a weight, an offset, a copied column, some missing rows.
clinics <- function() {
  set.seed(2001)
  size <- c(2, 3, 3, 4, sample(5:22, 26, TRUE))
  g <- rep(seq_along(size), size)
  n <- length(g)
  x <- round(rnorm(n, 0.3 * rnorm(30)[g]), 3)
  z <- round(runif(n, -2, 2), 3)
  f <- sample(c("a", "b", "c"), n, TRUE, c(0.5, 0.3, 0.2))
  w <- round(rgamma(n, 4, 4) + 0.1, 3)
  o <- round(rnorm(n), 3)
  u <- draw(30, covariance_of(c(1.2, 0.7, 0.5), c(0.4, -0.2, 0.3)))
  v <- draw(30, covariance_of(c(0.8, 0.8), 0.2))
  by_factor <- 0.5 * (f == "b") - (f == "c") + (f == "b") * v[g, 1] + (f == "c") * v[g, 2]
  mean <- 10 + 1.5 * x - 0.8 * z + u[g, 1] + u[g, 2] * x + u[g, 3] * z + by_factor
  noise <- rnorm(n)
  y <- round(mean + noise, 4)
  y_w <- round(mean + noise / sqrt(w), 4)
  y_gaps <- replace(y, sample(n, 12), NA)
  z_gaps <- replace(z, sample(n, 9), NA)
  data.frame(g = labels_of("g", 30)[g], f, x, z, x_copy = 2 * x - 1, w, o, y, y_w, y_gaps, z_gaps,
             y_mega = round(y * 1e6), y_micro = signif(y * 1e-6, 10))
}

# Two crossed factors, 40 subjects by 24 items, three quarters of the cells.
words <- function() {
  set.seed(2002)
  cells <- expand.grid(item = 1:24, subject = 1:40)
  cells <- cells[sort(sample(nrow(cells), 720)), ]
  n <- nrow(cells)
  cond <- sample(c("new", "old"), n, TRUE)
  age <- rep(c("adult", "child"), length.out = 40)[cells$subject]
  x <- round(rnorm(n), 3)
  w <- round(runif(n, 0.3, 3), 3)
  us <- draw(40, covariance_of(c(0.9, 0.5), -0.3))
  ui <- draw(24, covariance_of(c(0.6, 0.4), 0.5))
  y <- 6 + 0.4 * x + 0.3 * (cond == "old") - 0.5 * (age == "child") + 0.35 * (cond == "old") * (age == "child") +
    us[cells$subject, 1] + us[cells$subject, 2] * x + ui[cells$item, 1] + ui[cells$item, 2] * (cond == "old") +
    rnorm(n) / sqrt(w)
  data.frame(subject = labels_of("s", 40)[cells$subject], item = labels_of("i", 24)[cells$item],
             age, cond, x, w, y = round(y, 4))
}

# Rows in classes in schools; classes are numbered again in every school.
classes <- function() {
  set.seed(2003)
  per_school <- sample(2:6, 16, TRUE)
  class_school <- rep(1:16, per_school)
  size <- sample(3:8, length(class_school), TRUE)
  row_class <- rep(seq_along(class_school), size)
  school <- class_school[row_class]
  n <- length(school)
  x <- round(rnorm(n), 3)
  z <- round(rnorm(16), 3)
  u <- draw(16, covariance_of(c(1, 0.6), 0.3))
  v <- rnorm(length(class_school), sd = 0.7)
  y <- 50 + 2 * x + 1.2 * z[school] + u[school, 1] + u[school, 2] * x + v[row_class] + rnorm(n, sd = 1.5)
  data.frame(school = labels_of("k", 16)[school], class = sequence(per_school)[row_class], x, z = z[school],
             y = round(y, 4))
}

# Two crossed treatments and a covariate, unbalanced within 24 blocks.
trial <- function() {
  set.seed(2004)
  size <- sample(5:13, 24, TRUE)
  block <- rep(1:24, size)
  n <- length(block)
  drug <- sample(c("ctl", "low", "max"), n, TRUE, c(0.5, 0.3, 0.2))
  sex <- ifelse(runif(n) < 0.35 + 0.2 * (drug == "low"), "F", "M")
  x <- round(rnorm(n, 0.5 * (sex == "M")), 3)
  effect <- c(ctl = 0, low = 0.8, max = 1.4)[drug] - 0.6 * (sex == "M") + 0.9 * (drug == "max" & sex == "M")
  y <- 4 + effect + 0.5 * x + rnorm(24, sd = 0.9)[block] + rnorm(n)
  data.frame(block = labels_of("b", 24)[block], drug, sex, x, y = round(y, 4))
}

# Responses whose best covariance lies on the edge: no variance between groups, a correlation of one.
edge <- function() {
  set.seed(2005)
  g <- rep(1:14, times = c(4:9, 4:9, 5, 6))
  n <- length(g)
  x <- round(rnorm(n), 3)
  inside <- rnorm(n)
  flat <- inside - ave(inside, g) + 0.15 * (ave(inside, g) - mean(inside))
  u <- rnorm(14)
  data.frame(g = labels_of("g", 14)[g], x, y_flat = round(2 + 0.4 * x + flat, 4),
             y_line = round(2 + 0.4 * x + u[g] * (1 + 0.6 * x) + rnorm(n, sd = 0.6), 4),
             y_fan = round(2 + 0.4 * x + flat + 0.8 * u[g] * x, 4))
}

# A covariate far from zero: calendar years, 18 countries.
years <- function() {
  set.seed(2006)
  frame <- expand.grid(year = 1990:2020, country = 1:18)
  frame <- frame[sort(sample(nrow(frame), 430)), ]
  u <- draw(18, covariance_of(c(4, 0.15), 0.2))
  t <- frame$year - 2005
  y <- 60 + 0.21 * t + u[frame$country, 1] + u[frame$country, 2] * t + rnorm(nrow(frame), sd = 1.3)
  data.frame(country = labels_of("c", 18)[frame$country], year = frame$year, y = round(y, 4))
}

# Examination results: 50 schools, intake score, sex, type of school.
exams <- function() {
  set.seed(2007)
  size <- sample(8:48, 50, TRUE)
  school <- rep(1:50, size)
  n <- length(school)
  type <- sample(c("boys", "girls", "mixed"), 50, TRUE, c(0.2, 0.3, 0.5))[school]
  sex <- ifelse(type == "mixed", sample(c("F", "M"), n, TRUE), ifelse(type == "boys", "M", "F"))
  intake <- round(rnorm(n, rnorm(50, sd = 0.3)[school]), 3)
  u <- draw(50, covariance_of(c(0.3, 0.12), 0.5))
  y <- 0.55 * intake - 0.17 * (sex == "M") + 0.18 * (type == "girls") + 0.15 * (type == "boys") +
    u[school, 1] + u[school, 2] * intake + rnorm(n, sd = 0.74)
  data.frame(school = labels_of("k", 50)[school], type, sex, intake, y = round(y, 4))
}

# Growth curves: children measured up to six times, children in schools.
growth <- function() {
  set.seed(2008)
  size <- sample(3:13, 30, TRUE)
  child_school <- rep(1:30, size)
  waves <- lapply(seq_along(child_school), function(i) sort(sample(1:6, sample(2:6, 1))))
  child <- rep(seq_along(waves), lengths(waves))
  year <- unlist(waves) - 3.5
  school <- child_school[child]
  u <- draw(length(waves), covariance_of(c(0.8, 0.12), 0.5))
  v <- draw(30, covariance_of(c(0.35, 0.11), 0.3))
  y <- -0.8 + 0.76 * year + u[child, 1] + u[child, 2] * year + v[school, 1] + v[school, 2] * year +
    rnorm(length(child), sd = 0.55)
  data.frame(school = labels_of("k", 30)[school], child = labels_of("p", length(waves))[child], year,
             y = round(y, 4))
}

# Visits to clinics, with a logical column: was it the patient's first?
visits <- function() {
  set.seed(2009)
  size <- sample(6:16, 24, TRUE)
  clinic <- rep(1:24, size)
  n <- length(clinic)
  first <- runif(n) < 0.4
  x <- round(rnorm(n, 1), 3)
  u <- draw(24, covariance_of(c(0.9, 0.6), 0.4))
  y <- 3 + 0.5 * x + 0.7 * first + 0.4 * x * first + u[cbind(clinic, 1 + first)] + rnorm(n)
  data.frame(clinic = labels_of("v", 24)[clinic], first, x, y = round(y, 4))
}

plain <- function(frame) as.data.frame(lapply(frame, function(v) if (is.factor(v)) as.character(v) else v))

tables <- list(
  clinics = clinics(), words = words(), classes = classes(), trial = trial(), edge = edge(),
  years = years(), exams = exams(), growth = growth(), visits = visits(),
  orthodont = plain(nlme::Orthodont), oats = plain(nlme::Oats), machines = plain(nlme::Machines),
  pixel = plain(nlme::Pixel)
)
for (name in names(tables)) save_table(tables[[name]], name)
