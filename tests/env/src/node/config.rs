//! The configuration files of containerd, CNI, the kubelet and kube-proxy.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::network::{CLUSTER_DNS, PODS};
use crate::Error;
use crate::pki::Pki;
use crate::step;

/// The name of the node.
pub(super) const NODE: &str = "node";

/// What the files are made from.
pub(super) struct Settings<'a> {
    pub(super) dir: &'a Path,
    pub(super) pki: &'a Pki,
    pub(super) cni: &'a Path,
    pub(super) snapshotter: &'a str,
}

impl Settings<'_> {
    /// Writes all of them into the folder.
    pub(super) fn write(&self) -> Result<(), Error> {
        let network = self.dir.join("cni");
        fs::create_dir(&network).map_err(Error::io("make", &network))?;
        self.put("containerd.toml", &self.containerd())?;
        // The kubelet hands it to pods; nobody answers there, for no test asks.
        self.put("resolv.conf", &format!("nameserver {CLUSTER_DNS}\n"))?;
        // JSON is YAML.
        for (name, content) in [
            ("cni/10-bridge.conflist", network_list()),
            ("kubelet.yaml", self.kubelet()),
            ("kube-proxy.yaml", self.kube_proxy()),
        ] {
            self.put(name, &format!("{content:#}\n"))?;
        }
        Ok(())
    }

    fn put(&self, name: &str, content: &str) -> Result<(), Error> {
        let path = self.dir.join(name);
        fs::write(&path, content).map_err(Error::io("write", path))
    }

    /// In the form of containerd 1; containerd 2 still reads it.
    fn containerd(&self) -> String {
        let cni = self.cni.display();
        let (conf, image, snapshotter) = (self.dir.join("cni"), step::IMAGE, self.snapshotter);
        let conf = conf.display();
        // `restrict_oom_score_adj`: without CAP_SYS_RESOURCE every sandbox fails otherwise.
        format!(
            r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{conf}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#
        )
    }

    fn kubelet(&self) -> Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            // The hosts of continuous integration may have the old control groups still.
            "failCgroupV1": false,
            "cgroupDriver": "cgroupfs",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": self.pki.path("ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": self.pki.path("kubelet-server.crt"),
            "tlsPrivateKeyFile": self.pki.path("kubelet-server.key"),
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            "resolvConf": self.dir.join("resolv.conf"),
            "clusterDNS": [CLUSTER_DNS],
            "failSwapOn": false,
            // The disk is the machine's, and how full it is says nothing about this cluster.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%",
            },
            "nodeStatusUpdateFrequency": "4s",
            // So that a change of a mounted Secret does not take a minute.
            "syncFrequency": "10s",
        })
    }

    fn kube_proxy(&self) -> Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": NODE,
            "clusterCIDR": PODS,
            "clientConnection": {"kubeconfig": self.dir.join("kube-proxy.kubeconfig")},
            // Zero leaves the machine's limits alone.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        })
    }
}

fn network_list() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isDefaultGateway": true,
            "hairpinMode": true,
            "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": PODS}]]},
        }],
    })
}
