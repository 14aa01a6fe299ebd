/* The server's own runner: leases deploy jobs like any other, runs them in room deploy, and keeps the
 * database and what is live in step. */
#pragma once

#include "build/build.h"
#include "deploy/deploy.h"

typedef struct DeployAgent DeployAgent;

/* Registers as the runner "server" and starts the thread; before that brings back what was live, in the
 * background. */
_must_check_ int deploy_agent_start(Builds *b, Deployer *deployer, DeployAgent **ret, Err *err);
/* Asks what is under way to stop at a point from which it can be taken up again, and waits. Releases go on.
 */
void deploy_agent_stop(DeployAgent *a);
