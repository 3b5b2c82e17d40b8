# Fit y ~ regressors + (1 | country) + (1 | customer) and print "name,value" lines.
# Arguments: CSV file, engine (glmmTMB, lme4_0 or lme4_1). Seconds are processor seconds of the fit.
arguments <- commandArgs(trailingOnly = TRUE)
data <- read.csv(arguments[1])
data$country <- factor(data$country)
data$customer <- factor(data$customer)
engine <- arguments[2]
terms <- setdiff(names(data), c("y", "country", "customer"))
formula <- reformulate(c(terms, "(1 | country)", "(1 | customer)"), "y")
time <- system.time(
  fit <- suppressWarnings(suppressMessages(switch(
    engine,
    glmmTMB = glmmTMB::glmmTMB(formula, data, family = binomial),
    lme4_0 = lme4::glmer(formula, data, family = binomial, nAGQ = 0),
    lme4_1 = lme4::glmer(formula, data, family = binomial, nAGQ = 1)
  )))
)
say <- function(name, value) cat(sprintf("%s,%.15g\n", name, value))
say("seconds", sum(time[1:2]))
say("llf", as.numeric(logLik(fit)))
if (engine == "glmmTMB") {
  coefficients <- glmmTMB::fixef(fit)$cond
  errors <- sqrt(diag(vcov(fit)$cond))
  components <- glmmTMB::VarCorr(fit)$cond
  say("convergence", fit$fit$convergence)
} else {
  coefficients <- lme4::fixef(fit)
  errors <- sqrt(diag(as.matrix(vcov(fit))))
  components <- lme4::VarCorr(fit)
}
names(coefficients)[1] <- "intercept"
for (j in seq_along(coefficients)) {
  say(paste0("estimate.", names(coefficients)[j]), coefficients[j])
  say(paste0("std_error.", names(coefficients)[j]), errors[j])
}
for (level in c("country", "customer")) {
  say(paste0("sd.", level), attr(components[[level]], "stddev"))
}
