"""Pipelines of stages of every shape that the pipeline platform's documents show; the commands are ours, for what counts is
which keys stand where. REPOSITORY and IMAGE stand for what a test has of these.

`where` names the part of its contract (sections 5.2 to 5.4), or of its documents, that shows the shape: many of its 46
pipelines are of one shape. KEYS and WORDS are the contract's tables: a test holds the examples against the first, an
example is made of the second. `later`: a coming
version runs it, and that is the only thing to be said against it. `needs` "engine": it runs where there are containers.
"""

from dataclasses import dataclass, field


@dataclass
class Example:
    name: str
    where: str
    yaml: str
    later: bool = False
    needs: str = ""
    stages: list = field(default_factory=list)  # how they end, where it is run
    output: str = ""  # in what its steps say


# The words that the connectors' validators take (5.4), by the parameter that has them.
WORDS = {
    "aws_service": "ec2 ecs lambda codebuild",
    "azure_service": "aci aks functions devops acr",
    "gcp_service": "gke cloud-run cloud-functions cloud-build compute-engine gcr artifact-registry",
    "github_operation": "workflow_dispatch create_release upload_asset create_pr push",
    "gitlab_operation": "trigger_pipeline create_release upload_package create_mr push",
}
# The keys of the contract's table (5.2), by level.
KEYS = {
    "pipeline": "name description triggers stages environment timeout retry_count notifications",
    "trigger": "trigger_type config",
    "trigger config": "webhook_url cron_expression branch_patterns repository events",
    "stage": "name steps condition parallel environment timeout retry_count",
    "step": "name step_type config condition continue_on_error timeout",
    "step config": "command script working_directory image dockerfile build_context registry tags namespace manifest helm_chart values "
                   "region service action parameters repository_url branch commit credentials plugin_name plugin_config environment "
                   "disable_deployment_detection",
    "notification": "target_type config",
    "notification config": "email webhook_url slack_channel slack_token github_status",
}


def _operations():
    for key, words in WORDS.items():
        kind = key.split("_")[0]
        for word in words.split():
            yield f'      - {{name: "{kind}-{word}", step_type: {kind}, config: {{parameters: {{{key}: "{word}"}}}}}}'


EXAMPLES = [
    Example("hello", "API reference, create a pipeline: every key of a pipeline", """
name: "Hello"
description: "Says so"
triggers:
  - trigger_type: manual
    config: {}
stages:
  - name: "Greet"
    steps:
      - name: "hello"
        step_type: shell
        config:
          command: "echo 'Hello there'"
environment: {}
timeout: 3600
retry_count: 0
""", stages=["success"], output="Hello there\n"),

    Example("defaults", "5.2: the keys that the documents leave out: triggers, environment, config of a trigger", """
name: Short
stages:
  - name: One
    steps:
      - name: a
        step_type: shell
        config: {command: echo short}
""", stages=["success"], output="short\n"),

    Example("detected", "5.3: a step without a config whose name says that it builds; static files", """
name: Detected
triggers: [{trigger_type: manual}]
stages:
  - name: Write
    steps: [{name: write, config: {command: "echo '<p>' > index.html"}}]
  - name: Build
    steps: [{name: build-site, step_type: shell}]
""", stages=["success", "success"], output="nothing to build"),

    Example("stages", "Pipeline examples, multi-stage build: a parallel stage, a condition, a tag of the commit", """
name: "Multi-Stage Build"
triggers:
  - trigger_type: git_push
    config:
      branch_patterns: ["main", "develop"]
stages:
  - name: "Build"
    steps:
      - {name: "compile", step_type: shell, config: {command: "echo built > out"}}
  - name: "Test"
    parallel: true
    steps:
      - {name: "unit-tests", step_type: shell, config: {command: "cat out"}}
      - {name: "integration-tests", step_type: shell, config: {command: "cat out"}}
  - name: "Deploy"
    condition: "${BRANCH} == 'main'"
    steps:
      - {name: "ship", step_type: shell, config: {command: "echo app:$BUILD_TAG"}}
  - name: "Deploy elsewhere"
    condition: "${CI_BRANCH} == 'develop' || ${TESTS_PASSED} == 'true'"
    steps:
      - {name: "ship", step_type: shell, config: {command: "exit 1"}}
environment:
  BUILD_TAG: "${CI_COMMIT_SHORT_SHA}"
  TESTS_PASSED: "false"
timeout: 1800
retry_count: 1
""", stages=["success", "success", "success", "skipped"], output="app:01234567\n"),

    Example("clones", "5.4: github with repository_url and branch is a clone; application examples: two of them, in folders", """
name: "Services"
triggers:
  - trigger_type: webhook
    config: {webhook_url: "/webhook/services"}
stages:
  - name: "Source"
    steps:
      - name: "clone-frontend"
        step_type: github
        config: {repository_url: "REPOSITORY", branch: "main", working_directory: "frontend"}
      - name: "backend"
        step_type: git_lab
        config: {repository_url: "REPOSITORY", branch: "main", working_directory: "backend"}
  - name: "Build"
    parallel: true
    steps:
      - {name: "build-frontend", step_type: shell, config: {command: "cd frontend && cat README"}}
      - {name: "build-backend", step_type: shell, config: {command: "cd backend && cat README"}}
environment:
  GITHUB_TOKEN: "${GITHUB_TOKEN}"
  DATABASE_URL: "${DATABASE_URL}"
""", stages=["success", "success"], output="read me\n"),

    Example("shell clone", "5.3: a shell step called clone… with a repository_url, and the same with the detection turned off", """
name: "Shell"
triggers: [{trigger_type: manual, config: {}}]
stages:
  - name: "Source"
    steps:
      - {name: "Checkout code", step_type: shell, config: {repository_url: "REPOSITORY", branch: main}}
      - {name: "look", step_type: shell, config: {script: "cat README\\n"}}
      - name: "clone-nothing"
        step_type: shell
        config: {command: "echo mine", repository_url: "REPOSITORY", disable_deployment_detection: true}
""", stages=["success"], output="mine\n"),

    Example("environments", "5.3: pipeline, stage and step have an environment, the later one wins; a webhook's branch", """
name: "Environments"
triggers:
  - trigger_type: webhook
    config: {webhook_url: "/webhook/push"}
stages:
  - name: "One"
    environment: {LEVEL: stage}
    steps:
      - {name: "a", step_type: shell, config: {command: 'echo "$LEVEL $CI_BRANCH"', environment: {LEVEL: "step"}}}
environment: {LEVEL: pipeline}
""", stages=["success"], output="step main\n"),

    Example("resilient", "Connector examples, error handling: retry_count, continue_on_error, a step's and a stage's timeout", """
name: "Resilient Pipeline"
triggers:
  - trigger_type: manual
stages:
  - name: "Flaky"
    timeout: 600
    retry_count: 3
    steps:
      - name: "flaky-operation"
        step_type: shell
        config: {script: '[ "$PELTON_ATTEMPT" = 2 ] && echo "attempt $PELTON_ATTEMPT"'}
        continue_on_error: false
        timeout: 60
      - {name: "cleanup", step_type: shell, config: {command: "exit 3"}, continue_on_error: true}
retry_count: 2
timeout: 1800
""", stages=["success"], output="attempt 2\n"),

    Example("told", "5.2: targets of notifications and every type of trigger; application examples, notifications", """
name: "Told"
triggers:
  - trigger_type: git_push
    config: {branch_patterns: ["main", "staging"], repository: "https://github.com/user/app"}
  - trigger_type: schedule
    config: {cron_expression: "0 2 * * *"}
  - trigger_type: git_tag
    config: {tag_patterns: ["v*"]}
  - trigger_type: pull_request
    config: {branch_patterns: ["main"], events: ["opened", "synchronize"]}
  - trigger_type: webhook
    config: {webhook_url: "/webhook/told"}
  - trigger_type: manual
stages:
  - name: "Only"
    steps: [{name: "a", step_type: shell, config: {command: "echo told"}}]
notifications:
  on_start:
    - {target_type: git_hub, config: {github_status: "pending"}}
  on_success:
    - {target_type: webhook, config: {webhook_url: "https://hooks.slack.com/services/YOUR/SLACK/WEBHOOK"}}
    - {target_type: slack, config: {slack_channel: "#ci", slack_token: "${SLACK_TOKEN}"}}
  on_failure:
    - {target_type: email, config: {email: "admin@company.com"}}
timeout: 3600  # one hour
retry_count: 2
"""),

    Example("containers", "Connectors guide, docker: an image with a command or a script, in a folder of its own", """
name: "Docker Container"
triggers: [{trigger_type: manual, config: {}}]
stages:
  - name: "Build"
    steps:
      - name: "install"
        step_type: docker
        config:
          image: "IMAGE"
          command: "echo installed && pwd"
          working_directory: "/app"
          environment: {NODE_ENV: "production"}
        timeout: 300
      - name: "build-it"
        step_type: docker
        config:
          image: "IMAGE"
          working_directory: "/workspace"
          script: |
            echo built > built
            cat built
  - name: "Test"
    parallel: true
    steps:
      - {name: "unit", step_type: docker, config: {image: "IMAGE", command: "cat built", working_directory: "/workspace"}}
      - {name: "style", step_type: docker, config: {image: "IMAGE", command: "cat built"}}
environment:
  DOCKER_BUILDKIT: "1"
""", needs="engine", stages=["success", "success"], output="installed\n/app\n"),

    Example("images", "Connectors guide, docker: an image from a Dockerfile, with and without a name; deploy-container", """
name: "Docker Build"
stages:
  - name: "Source"
    steps:
      - name: "write"
        step_type: shell
        config:
          script: |
            mkdir -p services/api
            for file in Dockerfile Dockerfile.build services/api/Dockerfile; do
              printf 'FROM IMAGE\\nCOPY Docker* /made/\\n' > "$file"
            done
  - name: "Build"
    steps:
      - name: "build-custom-dockerfile"
        step_type: docker
        config: {dockerfile: "Dockerfile.build", build_context: ".", command: "ls /made"}
        timeout: 600
      - name: "deploy-container"
        step_type: docker
        config:
          dockerfile: "Dockerfile"
          build_context: "."
          image: "example-app:${BUILD_TAG}"
          command: "echo started on $PORT"
          environment: {PORT: "8000"}
  - name: "Services"
    parallel: true
    steps:
      - name: "build-api-service"
        step_type: docker
        config: {dockerfile: "services/api/Dockerfile", image: "example-api:${BUILD_TAG}", build_context: "services/api"}
      - name: "deploy-docker"
        step_type: docker
        config: {image: "example-app", dockerfile: "Dockerfile", environment: {PORTS: "8080:8080", DISTROLESS: "true"}}
environment:
  BUILD_TAG: "${CI_COMMIT_SHORT_SHA}"
""", needs="engine", stages=["success", "success", "success"], output="started on 8000\n"),

    Example("deployed image", "Application examples, a microservice: a docker step with nothing but an image and ports", """
name: "Microservice"
stages:
  - name: "Deploy"
    parallel: true
    steps:
      - {name: "deploy-to-directory", step_type: custom, config: {target_directory: "/opt/service"}}
      - name: "deploy-to-docker"
        step_type: docker
        config: {image: "service", distroless: true, environment: {PORTS: "8080:8080"}}
""", later=True),

    Example("custom", "5.3: deployments by a custom step's name; 5.2: plugins", """
name: "Deployments"
stages:
  - name: "Deploy"
    steps:
      - name: "deploy-to-docker"
        step_type: custom
        config: {image: "app", dockerfile: "Dockerfile", environment: {PORTS: "3000:3000", DISTROLESS: "true"}}
      - {name: "deploy-local", step_type: custom, config: {deployment_type: "directory", target_directory: "/opt/app"}}
      - {name: "release-it", step_type: custom, config: {environment: {PORTS: "8000:8000"}}}
      - {name: "notify", step_type: custom, config: {plugin_name: "notifier", parameters: {message: "done"}}}
      - {name: "plugged", step_type: custom, config: {plugin_name: "p", plugin_config: {level: 3, list: [a]}}}
""", later=True),

    Example("kubernetes", "5.4, kubernetes: jobs with resources and storage; deployment guide: an image alone, a manifest", """
name: "Kubernetes"
stages:
  - name: "Jobs"
    steps:
      - name: "job"
        step_type: kubernetes
        config: {image: "alpine:latest", command: "echo there && sleep 30", namespace: "default"}
        timeout: 120
      - name: "job-with-storage"
        step_type: kubernetes
        config:
          image: "ubuntu:latest"
          script: |
            echo working
          namespace: "ci-cd"
          parameters:
            use_pvc: true
            storage_class: "fast-ssd"
            storage_size: "10Gi"
            resource_requests: {cpu: "100m", memory: "128Mi"}
            resource_limits: {cpu: "2", memory: "4Gi"}
            service_account: "ci-service-account"
        timeout: 300
      - name: "job-on-the-host"
        step_type: kubernetes
        config: {image: "alpine", script: "echo", parameters: {use_pvc: false, use_hostpath: true}}
      - name: "deploy-k8s"
        step_type: kubernetes
        config: {image: "app:latest", namespace: "production", parameters: {resource_requests: {cpu: "0.5", memory: 1G}}}
      - {name: "apply", step_type: kubernetes, config: {namespace: "default", manifest: "k8s/deployment.yaml"}}
      - {name: "chart", step_type: kubernetes, config: {helm_chart: "./chart", values: {replicas: 2}}}
environment:
  KUBECONFIG: "/etc/kubernetes/config"
""", later=True),

    Example("clouds", "5.4: the documents' second vocabulary, service and action", """
name: "Clouds"
triggers: [{trigger_type: schedule, config: {cron_expression: "0 2 * * *"}}]
stages:
  - name: "AWS"
    steps:
      - name: "update-ecs"
        step_type: aws
        config:
          service: "ecs"
          action: "update-service"
          parameters: {cluster: "production", service: "web", task_definition: "web:${BUILD_TAG}", desired_count: 3}
      - name: "update-ecs-service-only"
        step_type: aws
        config: {service: "ecs", action: "update-service", parameters: {cluster: "production", service: "web"}}
      - name: "update-lambda"
        step_type: aws
        config:
          service: "lambda"
          action: "update-function-code"
          parameters: {function_name: "api-handler", zip_file: "dist/lambda.zip"}
  - name: "Azure"
    steps:
      - name: "create-group"
        step_type: azure
        config:
          service: "container-instances"
          action: "create-or-update"
          parameters:
            resource_group: "production-rg"
            container_group: "web"
            image: "registry.azurecr.io/web:${BUILD_TAG}"
            cpu: 2
            ports: [80, 443]
            environment_variables: {PORT: "80"}
  - name: "Google"
    steps:
      - name: "cloud-run"
        step_type: gcp
        config:
          service: "cloud-run"
          action: "deploy"
          parameters:
            service_name: "web"
            image: "gcr.io/project/web:${BUILD_TAG}"
            region: "us-central1"
            allow_unauthenticated: true
            max_instances: 10
environment:
  BUILD_TAG: "${CI_COMMIT_SHORT_SHA}"
  AWS_ACCESS_KEY_ID: "${AWS_ACCESS_KEY_ID}"
""", later=True),

    Example("cloud parameters", "5.4: the first vocabulary, the keys that the connectors validate, in the other spelling of types", """
name: "Parameters"
stages:
  - name: "Clouds"
    steps:
      - name: "a"
        step_type: a_w_s
        config: {parameters: {aws_region: "us-west-2", aws_service: "codebuild", aws_access_key_id: "x", aws_secret_access_key: "${KEY}"}}
      - name: "b"
        step_type: azure
        config:
          parameters:
            azure_subscription_id: "01234567-89ab-cdef-0123-456789abcdef"
            azure_resource_group: "rg"
            azure_service: "aks"
            azure_region: "westeurope"
            azure_client_id: "x"
            azure_client_secret: "${SECRET}"
      - name: "c"
        step_type: g_c_p
        config:
          parameters: {gcp_project_id: "my-project-1", gcp_region: "us-central1", gcp_zone: "a", gcp_service: "artifact-registry", gcp_service_account_key: "${KEY}", gke_cluster_name: "main"}
      - {name: "nothing", step_type: a_w_s, config: {region: "us-west-2"}}
""", later=True),

    Example("forges", "5.4: actions of GitHub and GitLab that are no clone; pipeline examples: a release, a mirror", """
name: "Git Operations"
triggers:
  - trigger_type: git_tag
    config: {tag_patterns: ["v*"]}
stages:
  - name: "GitHub"
    steps:
      - name: "create-github-release"
        step_type: github
        config:
          action: "create-release"
          repository: "user/app"
          tag: "${TAG}"
          name: "Release ${TAG}"
          body: |
            Built from ${CI_COMMIT_SHA}
          draft: false
          assets: ["app-${TAG}.tar.gz"]
      - name: "update-status"
        step_type: github
        config: {action: "update-status", repository: "user/app", commit: "${COMMIT}", state: "success", description: "fine"}
      - name: "create-status"
        step_type: git_hub
        config: {action: "create-status", repository: "user/app", sha: "${COMMIT}", state: "success", context: "ci/mirror"}
      - name: "dispatch"
        step_type: github
        config:
          parameters: {github_repository: "user/app", github_token: "ghp_x", github_operation: "workflow_dispatch", github_workflow: "build.yml", github_branch: "main"}
  - name: "GitLab"
    steps:
      - name: "mirror"
        step_type: gitlab
        config: {action: "mirror", source_repo: "https://github.com/user/app", target_repo: "https://gitlab.com/user/app", branch: "main", force_push: false}
      - name: "merge-request"
        step_type: gitlab
        config: {action: "update-merge-request", project_id: "12345", merge_request_iid: "${MR_IID}", state: "merge"}
      - name: "pipeline"
        step_type: git_lab
        config:
          parameters: {gitlab_project: "group/part/app", gitlab_url: "https://gitlab.example.com", gitlab_token: "glpat-x", gitlab_operation: "trigger_pipeline", gitlab_ref: "main", gitlab_variables: {LEVEL: "full"}}
environment:
  TAG: "${CI_TAG}"
  COMMIT: "${CI_COMMIT_SHA}"
""", later=True),

    Example("published", "5.2: registry and tags of an image that is built; a clone of one commit with credentials", """
name: "Published"
triggers: [{trigger_type: pull_request, config: {events: ["opened"], repository: "user/app"}}]
stages:
  - name: "Source"
    steps:
      - {name: "clone-private", step_type: github, config: {repository_url: "https://github.com/user/app", commit: "0123456789abcdef0123456789abcdef01234567", credentials: "${TOKEN}"}}
  - name: "Publish"
    steps:
      - name: "publish"
        step_type: docker
        condition: "${CI_BRANCH} == 'main'"
        config: {dockerfile: "Dockerfile", registry: "registry.example.com", image: "app", tags: ["app:latest", "app:${CI_COMMIT_SHORT_SHA}"]}
"""),

    Example("operations", "5.4: every service and operation that the connectors validate", """
name: "Operations"
stages:
  - name: "All"
    steps:
OPERATIONS
""".replace("OPERATIONS", "\n".join(_operations())), later=True),

    Example("hybrid", "API reference, hybrid: docker builds, kubernetes deploys, with timeouts of steps and of the whole", """
name: "Hybrid"
triggers: [{trigger_type: git_push, config: {branch_patterns: ["main"]}}]
stages:
  - name: "Package"
    steps:
      - name: "build-container-image"
        step_type: docker
        config: {dockerfile: "Dockerfile.prod", image: "app:${BUILD_TAG}", build_context: ".", script: "echo built"}
        timeout: 300
  - name: "Deploy"
    condition: "${BRANCH} == 'main' && ${TESTS_PASSED} == 'true'"
    steps:
      - name: "deploy-to-cluster"
        step_type: kubernetes
        config: {image: "kubectl:latest", script: "kubectl apply -f k8s/", namespace: "production", parameters: {service_account: "sa"}}
        timeout: 600
environment: {BUILD_TAG: "${CI_COMMIT_SHORT_SHA}", TESTS_PASSED: "false"}
timeout: 2400
retry_count: 1
""", later=True),
]


def run_and_check(ci, example, repository="", image="", timeout=60):
    """Stores it, runs it for a commit of main, and looks how its stages ended and what its steps have said."""
    text = example.yaml.replace("REPOSITORY", repository).replace("IMAGE", image)
    execution = ci.trigger(ci.create(text), branch="main", commit_hash="0123456789abcdef0123456789abcdef01234567")
    view = ci.wait(execution, "success", timeout)
    assert [stage["status"] for stage in view["stages"]] == example.stages, view
    assert example.output in "".join(step["stdout"] for stage in view["stages"] for step in stage["steps"]), view
