//! Values that must not be taken: each is refused with words that say what to do.

use std::fs;

use super::helm;
use crate::webhook::{repository, rig};

/// What helm says about a template with these values, which it must refuse.
fn refusal(values: &str, sets: &[&str]) -> String {
    let cluster = &rig().cluster;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("values.yaml");
    fs::write(&file, values).unwrap();
    let chart = repository("charts/datagate");
    let mut template = cluster.helm(["template", "datagate", &chart, "--namespace", "datagate-system"]);
    template.arg("--values").arg(&file);
    for set in sets {
        template.args(["--set", set]);
    }
    let output = template.output().unwrap();
    assert!(!output.status.success(), "{values} {sets:?} was taken");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn wrong_values_are_refused_with_help() {
    // Values, and the words that say where, what and what to do.
    let cases: &[(&[&str], &[&str])] = &[
        (&["mode=Off"], &["/mode", "'Enforce', 'Observe'"]),
        (&["mod=Observe"], &["additional properties 'mod' not allowed"]),
        (
            &["certificate.mode=Secret"],
            &["certificate.existingSecret: the name of a kubernetes.io/tls Secret"],
        ),
        (
            &["certificate.mode=Secret", "certificate.existingSecret=cert"],
            &["needs webhook.caBundle", "--set-file webhook.caBundle=ca.crt"],
        ),
        (
            &["certificate.existingSecret=cert"],
            &["only with certificate.mode=Secret, not SelfManaged: set the mode, or leave the name empty"],
        ),
        (
            &["webhook.caBundle=-----BEGIN CERTIFICATE-----x-----END CERTIFICATE-----"],
            &[
                "not for certificate.mode=SelfManaged, where datagate writes the bundle itself: leave it empty",
            ],
        ),
        (
            &[
                "certificate.mode=CertManager",
                "webhook.caBundle=-----BEGIN CERTIFICATE-----x-----END CERTIFICATE-----",
            ],
            &["not for certificate.mode=CertManager, where cert-manager writes the bundle"],
        ),
        (
            &["webhook.caBundle=MIIB"],
            &["/webhook/caBundle", "BEGIN CERTIFICATE"],
        ),
        (
            &["certificate.certManager.issuerRef.name=ours"],
            &["certificate.certManager.issuerRef is read only with certificate.mode=CertManager"],
        ),
        (
            &[
                "certificate.mode=CertManager",
                "certificate.certManager.issuerRef.kind=ClusterIssuer",
            ],
            &["/certificate/certManager/issuerRef", "properties 'name' required"],
        ),
        (
            &["clientAuthentication.names={kube-apiserver}"],
            &["clientAuthentication.names needs clientAuthentication.caConfigMap"],
        ),
        (
            &["serviceAccount.create=false"],
            &["serviceAccount.create=false needs serviceAccount.name"],
        ),
        (
            &["ports.webhook=8080"],
            &["ports.webhook and ports.admin are both 8080: give them different ports"],
        ),
        (&["ports.webhook=443"], &["/ports/webhook", "1,024"]),
        (
            &["hostNetwork=true", "networkPolicy.enabled=true"],
            &[
                "networkPolicy.enabled does nothing with hostNetwork=true",
                "turn one of them off",
            ],
        ),
        (
            &["guard.enabled=true"],
            &[
                "guard.enabled=true needs guard.users or guard.groups",
                "kubectl auth whoami",
            ],
        ),
        (&["guard.users={a'b}"], &["/guard/users/0"]),
        (
            &["secondLayer.validationActions={Deny,Warn}"],
            &["/secondLayer/validationActions"],
        ),
        (
            &["secondLayer.validationActions={}"],
            &["/secondLayer/validationActions"],
        ),
        (
            &["webhook.url=http://datagate.example.com/validate"],
            &["/webhook/url", "https://"],
        ),
        (&["excludedNamespaces={*}"], &["/excludedNamespaces/0"]),
        (
            &["accelerators.ignoredResources={*}"],
            &["/accelerators/ignoredResources/0"],
        ),
        (&["controllerAccounts={kuberay}"], &["/controllerAccounts/0"]),
        (&["refuseWhenStaleFor=ten minutes"], &["/refuseWhenStaleFor"]),
        (&["refuseWhenStaleFor=60s"], &["/refuseWhenStaleFor"]),
        (&["tracing.ratio=2"], &["/tracing/ratio"]),
        (
            &["tracing.otlpEndpoint=collector:4318"],
            &["/tracing/otlpEndpoint"],
        ),
        (
            &["networkPolicy.webhookCidrs={10.0.0.1}"],
            &["/networkPolicy/webhookCidrs/0"],
        ),
        (&["image.digest=sha256:abc"], &["/image/digest"]),
        (&["replicas=0"], &["/replicas"]),
        (&["replicas=two"], &["/replicas", "got string, want integer"]),
        (
            &["rbac.readers[0].kind=ServiceAccount", "rbac.readers[0].name=x"],
            &["/rbac/readers/0", "missing property 'namespace'"],
        ),
        (
            &["priorityClassName=null"],
            &["missing property 'priorityClassName'"],
        ),
    ];
    for (sets, words) in cases {
        let text = refusal("{}", sets);
        for word in *words {
            assert!(text.contains(word), "{sets:?}: no {word:?} in\n{text}");
        }
    }
}

/// `NO` is Norway, not false, and a version is not a number.
#[test]
fn what_looks_like_a_code_stays_a_string() {
    for (values, place) in [
        ("commonLabels: {region: NO}", "/commonLabels/region"),
        ("podAnnotations: {on: on}", "/podAnnotations"),
        ("commonAnnotations: {version: 1.10}", "/commonAnnotations/version"),
        ("podLabels: {build: 0123}", "/podLabels/build"),
        ("podLabels: {build: 1e3}", "/podLabels/build"),
        ("image: {tag: 1.10}", "/image/tag"),
        ("nodeSelector: {gpu: yes}", "/nodeSelector/gpu"),
        ("excludedNamespaces: [no]", "/excludedNamespaces/0"),
        ("guard: {enabled: true, groups: [off]}", "/guard/groups/0"),
        ("mode: no", "/mode"),
    ] {
        let text = refusal(values, &[]);
        assert!(text.contains(place), "{values}: {text}");
    }
    assert!(refusal("{}", &["commonLabels.on=true"]).contains("got boolean, want string"));
    let chart = repository("charts/datagate");
    let template = |more: [&str; 2]| {
        let mut all = vec![
            "template",
            "datagate",
            &chart,
            "--show-only",
            "templates/networkpolicy.yaml",
        ];
        all.extend(["--set", "networkPolicy.enabled=true"]);
        all.extend(more);
        helm(&rig().cluster, &all)
    };
    for more in [
        ["--set", "commonLabels.region=NO"],
        ["--set-string", "commonLabels.region=NO"],
    ] {
        let text = template(more);
        assert!(text.contains("region: \"NO\""), "{text}");
    }
    let text = template(["--set-string", "commonLabels.region=1e3"]);
    assert!(text.contains("region: \"1e3\""), "{text}");
}
