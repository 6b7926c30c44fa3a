//! The manifests against each other and against the server. Their fields and types are held against the schemas of Kubernetes by
//! `.ci/run`.

use std::process::Command;

use serde_json::{Value, json};

use super::files::default_port;
use super::{assert_no_secret, assert_setting, deploy, documents, done, read};

/// What `kubectl` makes of a folder.
fn kustomized(folder: &str) -> Vec<Value> {
    documents(&done(Command::new("kubectl").arg("kustomize").arg(deploy("kubernetes").join(folder))))
}

fn one<'a>(manifests: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found =
        manifests.iter().filter(|manifest| manifest["kind"] == kind && manifest["metadata"]["name"] == name);
    let manifest = found.next().unwrap_or_else(|| panic!("there is no {kind} {name}"));
    assert!(found.next().is_none(), "two of {kind} {name}");
    manifest
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn named<'a>(list_of: &'a Value, name: &str) -> &'a Value {
    list(list_of)
        .iter()
        .find(|item| item["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {list_of:#}"))
}

/// What every pod here promises.
fn assert_confined(pod: &Value) {
    let security = &pod["securityContext"];
    assert_eq!((&security["runAsNonRoot"], &security["runAsUser"]), (&json!(true), &json!(65532)));
    assert_eq!(security["fsGroup"], 65532, "the secret's file can be read");
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    for container in list(&pod["containers"]) {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        for (kind, wanted) in [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")] {
            assert!(container["resources"][kind][wanted].is_string(), "{kind} of {wanted}");
        }
        let version = concat!(":", env!("CARGO_PKG_VERSION"));
        assert!(container["image"].as_str().unwrap().ends_with(version), "{}", container["image"]);
        for variable in list(&container["env"]) {
            let name = variable["name"].as_str().unwrap();
            assert_setting(name);
            assert_no_secret(name, variable["value"].as_str().unwrap());
        }
        // the file of settings is in a secret that is mounted there, and the page says how it is made
        let path = named(&container["env"], "RAG_TOWER_CONFIG")["value"].as_str().unwrap();
        let mounted = |mount: &&Value| path.starts_with(mount["mountPath"].as_str().unwrap());
        let mount = list(&container["volumeMounts"]).iter().find(mounted).expect("the settings are mounted");
        let secret = &named(&pod["volumes"], mount["name"].as_str().unwrap())["secret"];
        assert_eq!(secret["defaultMode"], 0o440);
        let (file, name) = (path.rsplit_once('/').unwrap().1, secret["secretName"].as_str().unwrap());
        let command = format!("create secret generic {name} --from-file={file}");
        assert!(read(&deploy("README.md")).contains(&command), "the page does not say: {command}");
    }
}

#[test]
fn every_pod_is_confined_and_its_settings_are_in_a_secret() {
    let base = kustomized("base");
    for manifest in &base {
        assert!(
            manifest["kind"] == "Namespace" || manifest["metadata"]["namespace"] == "rag-tower",
            "{manifest:#}"
        );
    }
    assert_confined(&one(&base, "Deployment", "rag-tower")["spec"]["template"]["spec"]);
    let migrate = kustomized("migrate");
    let pod = &one(&migrate, "Job", "rag-tower-migrate")["spec"]["template"]["spec"];
    assert_confined(pod);
    assert_eq!(pod["containers"][0]["args"], json!(["migrate"]));
}

#[test]
fn ports_labels_probes_and_times_agree() {
    let manifests = kustomized("base");
    let spec = &one(&manifests, "Deployment", "rag-tower")["spec"];
    let labels = &spec["template"]["metadata"]["labels"];
    assert_eq!(&spec["selector"]["matchLabels"], labels);
    let pod = &spec["template"]["spec"];
    let server = &pod["containers"][0];
    for (port, setting) in [("http", "RAG_TOWER_ADDR"), ("metrics", "RAG_TOWER_METRICS_ADDR")] {
        assert_eq!(named(&server["ports"], port)["containerPort"], default_port(setting));
    }
    let data = named(&server["volumeMounts"], "data")["mountPath"].as_str().unwrap();
    assert!(read(&deploy("Dockerfile")).contains(&format!("RAG_TOWER_DATA={data} ")));
    for (probe, path) in
        [("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")]
    {
        assert_eq!(server[probe]["httpGet"], json!({"path": path, "port": "metrics"}), "{probe}");
    }
    for (service, port) in [("rag-tower", "http"), ("rag-tower-metrics", "metrics")] {
        let service = &one(&manifests, "Service", service)["spec"];
        assert_eq!(&service["selector"], labels);
        assert_eq!(service["ports"][0]["targetPort"], port);
    }
    for (kind, selector) in [("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")] {
        assert_eq!(&one(&manifests, kind, "rag-tower")["spec"][selector]["matchLabels"], labels, "{kind}");
    }

    // nobody is asked to go before another has come, and whoever goes has the time
    assert!(spec["replicas"].as_u64().unwrap() >= 2);
    assert_eq!(spec["strategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 0}));
    let delay: u64 =
        named(&server["env"], "RAG_TOWER_STOP_DELAY")["value"].as_str().unwrap().parse().unwrap();
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= delay + super::rolling::DOWN.as_secs());
    let seconds = |key: &str| server["readinessProbe"][key].as_u64().unwrap();
    let noticed = seconds("periodSeconds") * seconds("failureThreshold") + seconds("timeoutSeconds");
    assert!(delay > 2 * noticed, "it still answers when everybody has noticed");

    let monitor = kustomized("monitoring").remove(0);
    let watched = one(&manifests, "Service", "rag-tower-metrics");
    for (key, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&watched["metadata"]["labels"][key], value);
    }
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], watched["spec"]["ports"][0]["name"]);
}
