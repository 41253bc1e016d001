# What the R adapters share: the table, and the answers of an lme4 fit.

read_table <- function(folder) {
  described <- jsonlite::fromJSON(file.path(folder, "table.json"), simplifyVector = FALSE)
  model <- described$model
  used <- intersect(names(described$columns), all.vars(as.formula(model$formula)))
  groups <- vapply(model$random, function(term) term$group, "")
  read <- function(name) {
    column <- described$columns[[name]]
    path <- file.path(folder, paste0(name, ".bin"))
    if (column$kind == "double") return(readBin(path, "double", described$rows))
    values <- readBin(path, "integer", described$rows)
    if (column$kind == "factor") return(factor(unlist(column$levels)[values + 1L], levels = unlist(column$levels)))
    # lmer would make the factor itself; it is spared that.
    if (name %in% groups) factor(values) else values
  }
  list(model = model, frame = as.data.frame(setNames(lapply(used, read), used)))
}

prepare <- function(model, frame) frame

# Of an lmer fit and standard errors, in the protocol's names. Variances: a matrix a random term, in the model's order.
lmer_answers <- function(model, m, se, df = NULL) {
  vc <- lme4::VarCorr(m)
  variances <- lapply(model$random, function(term) unname(matrix(vc[[term$group]], nrow = nrow(vc[[term$group]]))))
  list(criterion = if (lme4::isREML(m)) lme4::REMLcrit(m) else as.numeric(-2 * logLik(m)),
       reml = lme4::isREML(m), beta = I(unname(lme4::fixef(m))), se = I(unname(se)), df = if (!is.null(df)) I(unname(df)),
       variances = variances, sigma2 = sigma(m)^2, evaluations = m@optinfo$feval,
       converged = length(m@optinfo$conv$lme4$messages) == 0)
}
