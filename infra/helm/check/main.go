// Reads rendered manifests from standard input and decodes each into Kubernetes' own type of its kind: an unknown field, a
// wrong type or an unknown kind is an error. What a schema would say where none can be fetched.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

var kinds = map[string]func() any{
	"apps/v1 Deployment":                     func() any { return new(appsv1.Deployment) },
	"autoscaling/v2 HorizontalPodAutoscaler": func() any { return new(autoscalingv2.HorizontalPodAutoscaler) },
	"batch/v1 Job":                           func() any { return new(batchv1.Job) },
	"policy/v1 PodDisruptionBudget":          func() any { return new(policyv1.PodDisruptionBudget) },
	"v1 Service":                             func() any { return new(corev1.Service) },
}

func main() {
	documents := kyaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	read, wrong := 0, 0
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		var head struct {
			metav1.TypeMeta   `json:",inline"`
			metav1.ObjectMeta `json:"metadata"`
		}
		if err := yaml.Unmarshal(document, &head); err != nil || head.Kind == "" {
			if err != nil {
				fmt.Println(err)
				wrong++
			}
			continue
		}
		kind := head.APIVersion + " " + head.Kind
		make, known := kinds[kind]
		switch {
		case !known:
			err = errors.New("no such kind is expected")
		default:
			err = yaml.UnmarshalStrict(document, make())
		}
		if err != nil {
			fmt.Printf("%s %s: %v\n", kind, head.Name, err)
			wrong++
		}
		read++
	}
	fmt.Printf("%d manifests, %d wrong\n", read, wrong)
	if wrong > 0 || read == 0 {
		os.Exit(1)
	}
}
