// client-go-peer contends for a Lease with client-go's own LeaderElector, exactly as kube-vip, the scheduler and the
// controller manager do. It is the foreign implementation that Holdfast's election must get along with.
//
// It prints one JSON object a line: {"at": milliseconds since the epoch, "event": "candidate" | "started" | "stopped" |
// "observed" | "exit", "leader": name}. SIGTERM and SIGINT end it, releasing the Lease unless -release=false.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

type line struct {
	At     int64  `json:"at"`
	Event  string `json:"event"`
	Leader string `json:"leader,omitempty"`
}

var output sync.Mutex

func say(event, leader string) {
	output.Lock()
	defer output.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(line{time.Now().UnixMilli(), event, leader}); err != nil {
		os.Exit(1)
	}
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "path of a kubeconfig")
	server := flag.String("server", "", "API server, instead of the kubeconfig's")
	serverName := flag.String("tls-server-name", "", "name to expect in the API server's certificate")
	namespace := flag.String("namespace", "kube-system", "namespace of the Lease")
	name := flag.String("name", "plndr-cp-lock", "name of the Lease")
	identity := flag.String("identity", "", "holder identity")
	leaseDuration := flag.Duration("lease-duration", 5*time.Second, "LeaseDuration")
	renewDeadline := flag.Duration("renew-deadline", 3*time.Second, "RenewDeadline")
	retryPeriod := flag.Duration("retry-period", time.Second, "RetryPeriod")
	release := flag.Bool("release", true, "release the Lease when told to stop")
	flag.Parse()
	if *identity == "" || *kubeconfig == "" {
		fmt.Fprintln(os.Stderr, "client-go-peer: -kubeconfig and -identity are required")
		os.Exit(2)
	}

	config, err := clientcmd.BuildConfigFromFlags(*server, *kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, "client-go-peer:", err)
		os.Exit(2)
	}
	config.Timeout = *renewDeadline / 2
	if *serverName != "" {
		config.TLSClientConfig.ServerName = *serverName
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, "client-go-peer:", err)
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: *namespace, Name: *name},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: *identity},
	}
	say("candidate", *identity)
	// RunOrDie returns when leadership is lost; a candidate that goes on contending is what operators run.
	for ctx.Err() == nil {
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock:            lock,
			ReleaseOnCancel: *release,
			LeaseDuration:   *leaseDuration,
			RenewDeadline:   *renewDeadline,
			RetryPeriod:     *retryPeriod,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { say("started", *identity) },
				OnStoppedLeading: func() { say("stopped", *identity) },
				OnNewLeader:      func(leader string) { say("observed", leader) },
			},
		})
	}
	say("exit", "")
}
