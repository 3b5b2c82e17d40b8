# Heckman's two steps in lean R: glm.fit and lm.fit, once and over bootstrap replicates.
# Usage: Rscript heckman.R data.csv kz kx replicates; columns s, y, z1..zkz, x1..xkx.
argument <- commandArgs(trailingOnly = TRUE)
kz <- as.integer(argument[2])
kx <- as.integer(argument[3])
replicates <- as.integer(argument[4])
data <- as.matrix(read.csv(argument[1]))
s <- data[, 1]
y <- data[, 2]
Z <- data[, 2 + seq_len(kz)]
X <- data[, 2 + kz + seq_len(kx)]
probit <- binomial("probit")

two_step <- function(s, y, Z, X) {
  # R warns where a fitted probability is 0 or 1 to machine precision; that is no failure here.
  gamma <- suppressWarnings(glm.fit(Z, s, family = probit))$coefficients
  index <- drop(Z %*% gamma)
  chosen <- s == 1
  lambda <- dnorm(index[chosen]) / pnorm(index[chosen])
  c(gamma, lm.fit(cbind(X[chosen, ], lambda), y[chosen])$coefficients)
}

seconds <- function(expression) {
  used <- system.time(expression, gcFirst = TRUE)
  used[["user.self"]] + used[["sys.self"]]
}

estimate <- two_step(s, y, Z, X)
fits <- 20
once <- seconds(for (i in seq_len(fits)) two_step(s, y, Z, X)) / fits
set.seed(1)
many <- seconds(for (i in seq_len(replicates)) {
  rows <- sample.int(length(s), replace = TRUE)
  two_step(s[rows], y[rows], Z[rows, ], X[rows, ])
})
cat(sprintf("fit,%.9f\nbootstrap,%.9f\nlambda,%.15g\n", once, many, estimate[length(estimate)]))

# Full maximum likelihood: BFGS with analytic gradient from the two-step estimates, then the Hessian
# by differences of gradients. Orthonormal columns, without which BFGS gets nowhere.
maximum_likelihood <- function(s, y, Z, X) {
  chosen <- s == 1
  Z <- qr.Q(qr(Z)) * sqrt(nrow(Z))
  X <- qr.Q(qr(X[chosen, ])) * sqrt(sum(chosen))
  y <- y[chosen]
  start <- two_step(s, replace(s, chosen, y), Z, X[cumsum(chosen) + !cumsum(chosen), ])
  g <- seq_len(ncol(Z))
  b <- ncol(Z) + seq_len(ncol(X))
  mills <- function(x) exp(dnorm(x, log = TRUE) - pnorm(x, log.p = TRUE))
  parts <- function(p) {
    sigma <- exp(p[b[length(b)] + 1])
    a <- p[b[length(b)] + 2]
    index <- drop(Z %*% p[g])
    u <- (y - drop(X %*% p[b])) / sigma
    v <- index[chosen]
    list(sigma = sigma, a = a, outside = -index[!chosen], u = u, v = v,
         A = v * cosh(a) + u * sinh(a))
  }
  llf <- function(p) with(parts(p), {
    -sum(pnorm(outside, log.p = TRUE)) - sum(dnorm(u, log = TRUE) - log(sigma) +
      pnorm(A, log.p = TRUE))
  })
  gradient <- function(p) with(parts(p), {
    m <- mills(A)
    score <- numeric(length(s))
    score[chosen] <- m * cosh(a)
    score[!chosen] <- -mills(outside)
    du <- m * sinh(a) - u
    -c(crossprod(Z, score), crossprod(X, -du / sigma), sum(-u * du - 1),
       sum(m * (v * sinh(a) + u * cosh(a))))
  })
  sigma <- sd(y)
  start <- c(start[-length(start)], log(sigma), atanh(max(-0.9, min(0.9, start[length(start)] / sigma))))
  found <- optim(start, llf, gradient, method = "BFGS",
                 control = list(reltol = 1e-13, maxit = 1000))
  optimHess(found$par, llf, gradient)
  -found$value
}
best <- NULL
used <- seconds(best <- maximum_likelihood(s, y, Z, X))
cat(sprintf("ml,%.9f\nllf,%.12g\n", used, best))
