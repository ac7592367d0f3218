//! Admitted first, changed afterwards.

use serde_json::{Value, json};

use crate::webhook::objects::{
    DATASETS, FILTER, FINE, PAUSED, RAW, REGION_PAUSED, UNDECLARED, cron_job, declare, job, plain_spec, pod,
    replicated, with_filter,
};
use crate::webhook::{Answer, Team};

fn annotate(datasets: &str) -> Value {
    json!({"metadata": {"annotations": {DATASETS: datasets}}})
}

/// A pause for people in the US, besides that for Europe.
fn pause_the_us(team: &Team) {
    let mut policy = team.policy();
    policy["spec"]["pauses"][0]["match"]["regions"] = json!(["EEA", "GB", "CH", "US"]);
    team.enforce(policy);
}

#[test]
fn attack_02_a_gated_pod_is_changed_and_released() {
    let team = Team::governed("attack-02-gate");
    let mut pod = with_filter(declare(pod(&team.name, "train"), RAW), FILTER);
    pod["spec"]["schedulingGates"] = json!([{"name": "example.com/hold"}]);
    team.rig.api.create(&pod).admitted();
    let image = |list: &str, name: &str| json!({"spec": {list: [{"name": name, "image": "registry.example.com/app:1"}]}});
    let swapped = team.rig.api.strategic(&pod, &image("initContainers", "opt-out"));
    swapped.refused(403, &["StepMissing spec"]);
    team.rig
        .api
        .merge(&pod, &annotate(PAUSED))
        .refused(403, &[REGION_PAUSED]);
    team.rig
        .api
        .strategic(&pod, &image("containers", "train"))
        .admitted();

    pause_the_us(&team);
    let release = json!({"spec": {"schedulingGates": null}});
    team.rig.api.merge(&pod, &release).refused(403, &[REGION_PAUSED]);
    let both = json!({"metadata": annotate("member-posts-rest")["metadata"], "spec": release["spec"]});
    team.rig.api.merge(&pod, &both).refused(403, &[REGION_PAUSED]);
    // What neither runs nor changes passes.
    team.rig
        .api
        .merge(&pod, &json!({"metadata": {"labels": {"team": "a"}}}))
        .admitted();
}

#[test]
fn attack_02_and_b04_a_suspended_job_is_changed_and_resumed() {
    let team = Team::governed("attack-02-suspend");
    let mut job = declare(job(&team.name, "train"), FINE);
    job["spec"]["suspend"] = json!(true);
    team.rig.api.create(&job).admitted();
    team.rig
        .api
        .merge(&job, &annotate(PAUSED))
        .refused(403, &[REGION_PAUSED]);
    let template = json!({"spec": {"template": annotate(PAUSED)}});
    let answer = team.rig.api.merge(&job, &template);
    answer.refused(
        403,
        &["RegionPaused spec.template.metadata.annotations[datagate.dev/datasets]"],
    );
    team.rig
        .api
        .merge(&job, &json!({"spec": {"parallelism": 2}}))
        .admitted();

    pause_the_us(&team);
    team.rig
        .api
        .merge(&job, &json!({"spec": {"parallelism": 1}}))
        .admitted();
    let resume = json!({"spec": {"suspend": false}});
    for answer in [
        team.rig.api.merge(&job, &resume),
        team.rig.api.strategic(&job, &resume),
    ] {
        answer.refused(403, &[REGION_PAUSED]);
    }
    assert_eq!(team.children("pods", "train").len(), 0);
}

/// What the API server lets be changed in the template of a suspended Job: more than keys, less than images.
#[test]
fn attack_02_a_suspended_job_gets_an_accelerator() {
    let team = Team::governed("attack-02-resources");
    let mut job = job(&team.name, "train");
    job["spec"]["template"]["spec"] = plain_spec();
    job["spec"]["template"]["spec"]["initContainers"] = json!([{"name": "opt-out", "image": FILTER}]);
    job["spec"]["suspend"] = json!(true);
    team.rig.api.create(&job).admitted();
    let api = &team.rig.api;
    let spec = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
    let resources = |limits: Value| {
        let container = json!({"name": "main", "resources": {"limits": limits}});
        spec(json!({"containers": [container]}))
    };
    api.strategic(&job, &resources(json!({"cpu": "1"}))).admitted();
    let gpu = resources(json!({"nvidia.com/gpu": "1"}));
    api.strategic(&job, &gpu).refused(403, &[UNDECLARED]);
    api.strategic(&job, &spec(json!({"nodeSelector": {"pool": "gpu"}})))
        .admitted();

    // Whoever runs and with what data is not for us to keep: the API server does.
    let volume = json!({"name": "data", "persistentVolumeClaim": {"claimName": "members"}});
    let image = json!({"name": "opt-out", "image": "registry.example.com/app:1"});
    let kept = [
        json!({"initContainers": [image]}),
        json!({"initContainers": null}),
        json!({"containers": [{"name": "main", "image": "registry.example.com/app:2"}]}),
        json!({"containers": [{"name": "main", "command": ["train"]}]}),
        json!({"containers": [{"name": "main", "env": [{"name": "A", "value": "b"}]}]}),
        json!({"volumes": [volume]}),
        json!({"serviceAccountName": "other"}),
    ];
    for patch in kept {
        immutable(&api.strategic(&job, &spec(patch)));
    }
    immutable(&api.merge(&job, &json!({"spec": {"completions": 0}})));

    // Nor anything of one that runs, even if it is suspended by the same request.
    let resume = json!({"spec": {"suspend": false}});
    api.merge(&job, &resume).admitted();
    team.child("pods", "train");
    immutable(&api.strategic(&job, &gpu));
    let mut label = json!({"spec": {"template": {"metadata": {"labels": {"team": "a"}}}}});
    immutable(&api.merge(&job, &label));
    label["spec"]["suspend"] = json!(true);
    immutable(&api.merge(&job, &label));
}

/// Refused by the API server itself.
#[track_caller]
fn immutable(answer: &Answer) {
    let text = answer.text();
    assert!(
        answer.code == 422 && text.contains("field is immutable"),
        "{answer:#?}"
    );
}

#[test]
fn attack_02_suspend_and_edit_in_one_request() {
    let team = Team::governed("attack-02-both");
    let job = declare(job(&team.name, "train"), FINE);
    team.rig.api.create(&job).admitted();
    let both = json!({"metadata": annotate(PAUSED)["metadata"], "spec": {"suspend": true}});
    team.rig.api.merge(&job, &both).refused(403, &[REGION_PAUSED]);
    team.rig
        .api
        .merge(&job, &json!({"spec": {"suspend": true}}))
        .admitted();
}

#[test]
fn attack_02_a_count_is_raised_from_zero() {
    let team = Team::governed("attack-02-count");
    let mut job = declare(job(&team.name, "train"), FINE);
    job["spec"]["parallelism"] = json!(0);
    team.rig.api.create(&job).admitted();
    let mut deployment = declare(replicated("Deployment", &team.name, "serving"), FINE);
    deployment["spec"]["replicas"] = json!(0);
    team.rig.api.create(&deployment).admitted();
    let set = team.child("replicasets", "serving");
    let mut cron = declare(cron_job(&team.name, "nightly"), FINE);
    cron["spec"]["suspend"] = json!(true);
    team.rig.api.create(&cron).admitted();

    pause_the_us(&team);
    team.rig
        .api
        .merge(&job, &json!({"spec": {"parallelism": 1}}))
        .refused(403, &[REGION_PAUSED]);
    team.rig
        .api
        .merge(&deployment, &json!({"spec": {"replicas": 1}}))
        .refused(403, &[REGION_PAUSED]);
    team.rig
        .api
        .merge(&cron, &json!({"spec": {"suspend": false}}))
        .refused(403, &[REGION_PAUSED]);

    // Through the subresource the count is raised unasked; then no pod comes of it.
    team.rig
        .api
        .patch_sub(&deployment, "scale", &json!({"spec": {"replicas": 1}}))
        .admitted();
    let refused = team.rig.wait("a decision on the ReplicaSet", || {
        let all = team.decisions("ReplicaSet").into_iter();
        all.filter(|line| line["operation"] == "UPDATE")
            .find(|line| line["decision"] == "Denied")
    });
    assert_eq!(refused["findings"][0]["reason"], "RegionPaused", "{refused}");
    assert_eq!(
        refused["user"],
        "system:serviceaccount:kube-system:deployment-controller"
    );
    let pods = team.children("pods", set["metadata"]["name"].as_str().unwrap());
    assert_eq!(pods.len(), 0);
}

#[test]
fn attack_02_an_old_finding_covers_no_new_one() {
    let team = Team::new("attack-02-cover");
    let (mut silent, mut paused) = (
        job(&team.name, "silent"),
        declare(job(&team.name, "paused"), PAUSED),
    );
    for job in [&mut silent, &mut paused] {
        job["spec"]["suspend"] = json!(true);
        team.rig.api.create(job).admitted();
    }
    team.enforce(team.policy());
    let api = &team.rig.api;
    api.merge(&silent, &annotate(PAUSED)).refused(
        403,
        &[
            "PurposeUndeclared metadata.annotations[datagate.dev/purpose]",
            REGION_PAUSED,
        ],
    );
    api.merge(&silent, &json!({"spec": {"suspend": false}}))
        .refused(403, &[UNDECLARED]);
    api.merge(&paused, &annotate("member-posts-2024, synthetic-dialogues"))
        .refused(403, &[REGION_PAUSED]);
    let more = annotate("member-posts-2024, member-posts-us-raw");
    api.merge(&paused, &more)
        .refused(403, &[REGION_PAUSED, "StepMissing spec.template.spec"]);
    // The way out is open.
    api.merge(&paused, &annotate(FINE)).admitted();
}

#[test]
fn attack_04_keys_are_dropped_and_the_image_swapped() {
    let team = Team::governed("attack-04-drop");
    let mut plain = replicated("Deployment", &team.name, "declared");
    plain["spec"]["template"]["spec"]["containers"][0]
        .as_object_mut()
        .unwrap()
        .remove("resources");
    let declared = declare(plain.clone(), FINE);
    team.rig.api.create(&declared).admitted();
    let image = json!({"containers": [{"name": "train", "image": "registry.example.com/other:1"}]});
    let swap = json!({"metadata": {"annotations": null}, "spec": {"template": {"spec": image}}});
    // By itself it would be out of this policy's reach, but it comes of what was within.
    team.rig
        .api
        .strategic(&declared, &swap)
        .refused(403, &[UNDECLARED]);
    let drop = json!({"metadata": {"annotations": null}});
    team.rig.api.merge(&declared, &drop).refused(403, &[UNDECLARED]);

    let gpu = declare(replicated("Deployment", &team.name, "gpu"), FINE);
    team.rig.api.create(&gpu).admitted();
    team.rig.api.strategic(&gpu, &swap).refused(403, &[UNDECLARED]);

    // On the job template only.
    let mut cron = cron_job(&team.name, "nightly");
    cron["spec"]["suspend"] = json!(true);
    cron["spec"]["jobTemplate"]["metadata"] = annotate(PAUSED)["metadata"].clone();
    let field = "spec.jobTemplate.metadata.annotations[datagate.dev/datasets]";
    team.rig.api.create(&cron).refused(
        422,
        &[
            "PurposeUndeclared metadata.annotations[datagate.dev/purpose]",
            &format!("RegionPaused {field}"),
        ],
    );
}

#[test]
fn b03_the_image_of_a_running_pod_is_swapped() {
    let team = Team::governed("bypass-03");
    let pod = with_filter(declare(pod(&team.name, "train"), RAW), FILTER);
    team.rig.api.create(&pod).admitted();
    let swap = json!([{"op": "replace", "path": "/spec/initContainers/0/image", "value": "registry.example.com/app:1"}]);
    team.rig
        .api
        .json_patch(&pod, &swap)
        .refused(403, &["StepMissing spec"]);
}

#[test]
fn b28_a_terminating_object_is_not_exempt() {
    let team = Team::governed("bypass-28");
    let mut job = declare(job(&team.name, "train"), FINE);
    job["metadata"]["finalizers"] = json!(["example.com/hold"]);
    team.rig.api.create(&job).admitted();
    team.rig.api.delete(&job, "Background").admitted();
    team.rig
        .api
        .merge(&job, &annotate(PAUSED))
        .refused(403, &[REGION_PAUSED]);
    team.rig
        .api
        .merge(&job, &json!({"metadata": {"finalizers": null}}))
        .admitted();
}

#[test]
fn attack_17_force_deletes_no_running_job() {
    let team = Team::governed("attack-17");
    let job = declare(job(&team.name, "train"), FINE);
    assert!(team.rig.cluster.apply(&job.to_string()).unwrap().status.success());
    let before = team.rig.api.get(&job).admitted();
    let edited = declare(job.clone(), PAUSED);
    for command in [
        &["apply", "--force", "--filename=-"][..],
        &["apply", "--server-side", "--force-conflicts", "--filename=-"],
    ] {
        let mut kubectl = team.rig.cluster.kubectl(command);
        let output = team
            .rig
            .cluster
            .with_input(&mut kubectl, &edited.to_string())
            .unwrap()
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains("[RegionPaused]"),
            "{said}"
        );
        let after = team.rig.api.get(&job).admitted();
        assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"], "{said}");
        assert_eq!(after["metadata"]["deletionTimestamp"], Value::Null, "{said}");
        assert_eq!(after["metadata"]["annotations"][DATASETS], FINE, "{said}");
    }
}
